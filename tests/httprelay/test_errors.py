import httprelay
from httprelay import errors


def test_the_tree_in_the_docstring_names_every_error() -> None:
    tree = httprelay.__doc__ or ""
    named = [item for item in vars(errors).values() if isinstance(item, type)]
    assert len(named) >= 8
    assert all(issubclass(item, errors.RelayError) and item.__name__ in tree for item in named)
