"""The errors of budgets; drawn in the package's docstring."""


class BudgetError(Exception):
    """A budget can be neither told nor changed."""


class UnknownOwner(BudgetError):
    """Nobody of that name has budgets."""
