import httpx


async def test_the_command_line_sets_rules(admin: httpx.AsyncClient) -> None:
    await admin.post("/users", json={"email": "ann@example.com"})
    everyone = await admin.put("/models", json={"patterns": ["anthropic/*"]})
    assert everyone.json()["patterns"] == ["anthropic/*"]
    assert (await admin.get("/models")).json() == everyone.json()
    mine = await admin.put("/users/ann@example.com/models", json={"patterns": ["!anthropic/*-opus-*"]})
    assert (mine.json()["allowed"], mine.json()["excluded"]) == (["anthropic/*"], ["anthropic/*-opus-*"])
    assert (await admin.get("/users/ann@example.com/models")).json() == mine.json()


async def test_what_cannot_be_meant_is_refused(admin: httpx.AsyncClient) -> None:
    for answer, status, code in (
        (await admin.get("/users/no@one.com/models"), 404, "unknown_user"),
        (await admin.put("/users/no@one.com/models", json={"patterns": []}), 404, "unknown_user"),
        (await admin.put("/models", json={"patterns": ["gpt-5"]}), 400, "bad_pattern"),
        (await admin.put("/models", json={"patterns": ["x/" + "y" * 400]}), 400, "bad_request"),
        (await admin.put("/models", json={}), 400, "bad_request"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (status, code)
