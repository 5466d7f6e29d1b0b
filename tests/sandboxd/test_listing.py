import pytest
from starlette.datastructures import QueryParams
from tests.sandboxd.test_records import record

from sandboxd.listing import page
from sandboxd.records import Record

ALL = [
    record(id=f"i{number}", started_at=float(number // 2), state="paused" if number % 2 else "running")
    for number in range(5)
]


def ids(found: list[Record]) -> list[str]:
    return [one.id for one in found]


def test_pages_follow_each_other_though_some_go_meanwhile() -> None:
    first, token = page(ALL, QueryParams("limit=2"))
    assert ids(first) == ["i4", "i3"]
    second, token = page(
        [one for one in ALL if one.id != "i3"], QueryParams({"limit": "2", "nextToken": str(token)})
    )
    assert ids(second) == ["i2", "i1"]
    third, token = page(ALL, QueryParams({"limit": "2", "nextToken": str(token)}))
    assert (ids(third), token) == (["i0"], None)
    ascending, _ = page(ALL, QueryParams("order=asc"))
    assert ids(ascending) == ["i0", "i1", "i2", "i3", "i4"]


def test_filters() -> None:
    assert ids(page(ALL, QueryParams("state=paused"))[0]) == ["i3", "i1"]
    assert len(page(ALL, QueryParams("state=paused,running"))[0]) == 5
    assert page(ALL, QueryParams("template=other"))[0] == []
    assert ids(page(ALL, QueryParams("startedAfter=1970-01-01T00:00:02Z"))[0]) == ["i4"]
    assert len(page(ALL, QueryParams("metadata=a%3Db"))[0]) == 5
    assert page(ALL, QueryParams("metadata=a%3Dc"))[0] == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "nextToken=!", "nextToken=YQ==", "state=x", "order=x", "startedAfter=x"]
)
def test_rubbish_is_refused(query: str) -> None:
    with pytest.raises(ValueError, match="."):
        page(ALL, QueryParams(query))
