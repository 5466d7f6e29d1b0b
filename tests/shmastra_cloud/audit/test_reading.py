import datetime as dt

from shmastra_cloud.audit import Actor, Asked, AuditLog, read
from shmastra_cloud.database import Pool

ROOT = Actor.of_uid(0, "socket")


async def test_lines_are_read_newest_first_by_the_page_and_by_what_is_asked(pool: Pool) -> None:
    log = AuditLog(pool)
    for number in range(5):
        await log.record(ROOT, "user.invite", f"user{number}@example.com")
    async with log.around(
        Actor("user", "Ann@example.com", "7", "10.0.0.1"), "sandbox.reset", "bob", step=1
    ) as act:
        act.target_id, act.detail["status"] = "i1", 0
    first = await read(pool, Asked(4))
    assert [line["target"] for line in first["lines"]] == [
        "bob",
        *(f"user{n}@example.com" for n in (4, 3, 2)),
    ]
    newest = first["lines"][0]
    assert (newest["outcome"], newest["target_id"], newest["detail"]) == (
        "done",
        "i1",
        {"step": 1, "status": 0},
    )
    assert newest["ended_at"] >= newest["created_at"]
    rest = await read(pool, Asked(4, before=first["next"]))
    assert [line["target"] for line in rest["lines"]] == ["user1@example.com", "user0@example.com"]
    assert rest["next"] is None

    async def found(**asked: str) -> int:
        return len((await read(pool, Asked(100, **asked)))["lines"])  # type: ignore[arg-type]

    assert (await found(who="ann@EXAMPLE.com"), await found(who="0"), await found(who="nobody")) == (1, 5, 0)
    assert (await found(action="sandbox"), await found(action="user.invite"), await found(action="use")) == (
        1,
        5,
        0,
    )
    assert (await found(target="USER3@example.com"), await found(target="i1"), await found(target="%")) == (
        1,
        1,
        0,
    )
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    assert (await read(pool, Asked(100, since=later)))["lines"] == []
