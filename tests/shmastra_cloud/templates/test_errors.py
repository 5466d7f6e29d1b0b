import shmastra_cloud.templates as package
from shmastra_cloud.templates import errors


def test_the_tree_in_the_docstring_names_every_error() -> None:
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert issubclass(value, errors.TemplateError)
            assert name in (package.__doc__ or "")
