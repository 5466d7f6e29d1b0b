import shmastra_cloud.api_tokens as package
from shmastra_cloud.api_tokens import errors


def test_the_tree_in_the_docstring_names_every_error_and_each_has_a_code() -> None:
    found = [
        one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.TokenError)
    ]
    assert len({one.code for one in found}) == len(found)
    for one in found:
        assert one.__name__ in (package.__doc__ or "")
