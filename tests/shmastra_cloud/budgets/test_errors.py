import shmastra_cloud.budgets as package
from shmastra_cloud.budgets import errors


def test_the_tree_is_the_one_that_is_drawn() -> None:
    drawn = package.__doc__ or ""
    for name, value in vars(errors).items():
        if isinstance(value, type):
            assert issubclass(value, errors.BudgetError)
            assert name in drawn
