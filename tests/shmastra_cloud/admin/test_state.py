import httpx


async def test_usage_is_grouped_as_asked(admin: httpx.AsyncClient) -> None:
    assert (await admin.get("/users/usage")).json() == []
    assert (await admin.get("/users/usage?by=day&since=2026-11-01")).status_code == 200
    assert (await admin.get("/users/usage?by=moon")).status_code == 400
    assert (await admin.get("/users/usage?since=moon")).status_code == 400


async def test_the_doctor_sees_the_services(admin: httpx.AsyncClient) -> None:
    found = {check["name"]: check for check in (await admin.get("/doctor")).json()}
    services = {
        "database",
        "database_schema",
        "sandboxes",
        "providers",
        "public_url",
        "sign_in",
        "reach",
        "mail",
    }
    assert services <= set(found)
    assert set(found["database"]) == {"name", "status", "detail", "fix"}
