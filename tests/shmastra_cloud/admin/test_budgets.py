import httpx


async def test_budgets_are_set_and_told(admin: httpx.AsyncClient) -> None:
    await admin.post("/users", json={"email": "ann@example.com"})
    changed = await admin.put("/budgets/ann@example.com", json={"usd_per_month": 2.5})
    assert changed.json()["budget"]["usd_per_month"]["remaining"] == 2.5
    assert (await admin.get("/budgets/ann@example.com")).json() == changed.json()
    assert [one["who"] for one in (await admin.get("/budgets")).json()] == [
        "organization",
        "default",
        "ann@example.com",
    ]
    for answer in (
        await admin.get("/budgets/bob@example.com"),
        await admin.put("/budgets/bob@example.com", json={"streams": 1}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_user")
