import shmastra_cloud.secrets_at_rest as package
from shmastra_cloud.secrets_at_rest import errors


def test_the_tree_in_the_docstring_names_every_error() -> None:
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert issubclass(value, errors.MasterKeyError)
            assert name in (package.__doc__ or "")
