from pathlib import Path

from sandboxd import address


def test_it_says_where_to_dial(tmp_path: Path) -> None:
    assert address.read(tmp_path) is None
    for bound, told in (
        (("127.0.0.1", 80), "http://127.0.0.1:80"),
        (("0.0.0.0", 80), "http://127.0.0.1:80"),
        (("::", 80), "http://[::1]:80"),
    ):
        address.write(tmp_path, bound)
        assert address.read(tmp_path) == told
