import shmastra_cloud.identity.workos
from shmastra_cloud.identity import IdentityError
from shmastra_cloud.identity.workos import errors


def test_the_tree_is_the_packages_docstring() -> None:
    drawn = shmastra_cloud.identity.workos.__doc__ or ""
    made = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, IdentityError)]
    for one in made:
        if one is not IdentityError:
            assert one.__name__ in drawn
            assert issubclass(one, errors.WorkosError)
    assert issubclass(errors.KeyRefused, errors.Away)
