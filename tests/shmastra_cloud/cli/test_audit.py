import json
from pathlib import Path

import pytest
from tests.shmastra_cloud.housing import EMAIL
from tests.shmastra_cloud.webs import MASTER_KEY, shmastra

from shmastra_cloud.cli import audit


def test_what_was_done_is_shown_where_no_cloud_runs(dsn: str, tmp_path: Path) -> None:
    environ = {"DATABASE_URL": dsn, "SHMASTRA_DATA": str(tmp_path), "SHMASTRA_MASTER_KEY": MASTER_KEY}
    assert b"Nothing of that kind" in shmastra("audit", **environ).stdout
    shmastra("user", "invite", EMAIL, "--admin", **environ)
    refused = shmastra("user", "role", EMAIL, "member", **environ)
    assert (refused.returncode, b"last admin" in refused.stderr) == (1, True)
    shmastra("user", "invite", "bob@example.com", **environ)
    assert b"an admin now" in shmastra("user", "role", "bob@example.com", "admin", **environ).stdout
    assert b"(0 sessions)" in shmastra("user", "sign-out", EMAIL, **environ).stdout
    found = json.loads(shmastra("audit", "--json", **environ).stdout)
    assert [line["action"] for line in found] == ["user.sign-out", "user.role", "user.invite", "user.invite"]
    assert found[1]["detail"] == {"role": "admin", "before": "member"}
    words = ("--who", "root", "--action", "user", "--target", EMAIL, "-n", "1", "--since", "2026-01-01")
    [header, line] = shmastra("audit", *words, **environ).stdout.decode().splitlines()
    assert header.split() == ["created_at", "actor", "from", "action", "target", "outcome", "detail"]
    assert ("root" in line, "command line" in line, "sessions 0" in line) == (True, True, True)


def test_pages_are_put_together_up_to_what_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def page(_method: str, path: str, **_: object) -> dict[str, object]:
        asked.append(path)
        return {"lines": [{"n": len(asked)}] * 3, "next": 7 if len(asked) < 3 else None}

    monkeypatch.setattr(audit, "ask", page)
    monkeypatch.setattr(audit, "PAGE", 3)
    assert len(audit._found({"who": "a&b"}, 5)) == 6
    assert asked == ["/audit?who=a%26b&limit=3", "/audit?who=a%26b&limit=2&before=7"]
    asked.clear()
    assert len(audit._found({}, 100)) == 9
