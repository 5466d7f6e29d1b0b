from shmastra_healer import errors


def test_every_error_hangs_on_the_one_tree() -> None:
    found = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)]
    assert len(found) == 3
    assert all(issubclass(one, errors.HealerError) for one in found)
