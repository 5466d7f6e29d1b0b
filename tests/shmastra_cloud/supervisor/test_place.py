import os
from pathlib import Path

import pytest

from shmastra_cloud.supervisor import SERVICE, Unreadable, account, settle


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A folder that only root may enter, as pytest's own are."""
    tmp_path.chmod(0o700)
    return tmp_path


def test_without_a_system_user_it_stays_where_it_is(tmp_path: Path) -> None:
    said: list[str] = []
    assert settle(tmp_path / "a" / "data", None, said.append) == tmp_path / "a" / "data"
    assert (tmp_path / "a" / "data").is_dir()
    assert not said


@pytest.mark.engine
def test_where_the_services_cannot_go_a_link_stays(private: Path) -> None:
    assert os.geteuid() == 0, "this test needs root"
    who, state, said = account(SERVICE), private / "state", []
    data = private / "clone" / "data"
    data.mkdir(parents=True)
    (data / "kept").write_text("mine")
    place = settle(data, who, said.append, state)
    assert place.parent == state
    assert data.is_symlink()
    assert (place / "kept").read_text() == "mine"
    assert str(place) in said[0]
    data.unlink()
    data.mkdir()
    with pytest.raises(Unreadable, match="Both"):
        settle(data, who, said.append, state)


@pytest.mark.engine
def test_where_they_can_it_stays() -> None:
    assert settle(Path("/var/tmp"), account(SERVICE), lambda _text: None) == Path("/var/tmp")
