from typing import Any

import pytest

from shmastra_cloud.identity.workos.news import News, news_in

OURS = {"user_id": "user_1", "organization_id": "org_1", "status": "active"}


@pytest.mark.parametrize(
    ("name", "data", "news"),
    [
        ("organization_membership.created", OURS, News(user="user_1")),
        ("organization_membership.updated", OURS, News(user="user_1")),
        ("organization_membership.updated", {**OURS, "status": "pending"}, News(user="user_1")),
        ("organization_membership.updated", {**OURS, "status": "inactive"}, News(user="user_1", gone=True)),
        ("organization_membership.deleted", OURS, News(user="user_1", gone=True)),
        ("organization_membership.deleted", {**OURS, "organization_id": "org_10"}, None),
        ("organization_membership.deleted", {**OURS, "user_id": None}, None),
        ("user.updated", {"id": "user_1"}, News(user="user_1")),
        ("user.deleted", {"id": "user_1"}, News(user="user_1", gone=True)),
        ("user.deleted", {"id": ""}, None),
        ("user.deleted", ["user_1"], None),
        ("session.revoked", {"id": "session_1", "user_id": "user_1"}, News(session="session_1")),
        ("session.created", {"id": "session_1"}, None),
        (["user.deleted"], {"id": "user_1"}, None),
    ],
)
def test_an_event_says_whom_to_look_at(name: Any, data: Any, news: News | None) -> None:
    assert news_in({"event": name, "data": data}, "org_1") == news


def test_what_is_no_event_says_nothing() -> None:
    assert news_in({}, "org_1") is None
