from uuid import uuid4

import httpx

from shmastra_cloud.api_tokens import Tokens
from shmastra_cloud.database import Pool
from shmastra_cloud.identity import Users
from shmastra_cloud.secrets_at_rest import Vault


async def test_tokens_of_all_admins_are_listed_and_revoked(
    admin: httpx.AsyncClient, pool: Pool, vault: Vault
) -> None:
    ann = await Users(pool, vault).invite("ann@example.com", admin=True)
    made = await Tokens(pool).make(ann, "laptop", 3)
    listed = await admin.get("/tokens")
    [row] = listed.json()
    assert (row["id"], row["email"], row["name"], row["last_used_at"]) == (
        str(made.id),
        "ann@example.com",
        "laptop",
        None,
    )
    assert made.token not in listed.text
    gone = await admin.post(f"/tokens/{made.id}/revoke")
    assert gone.json() == {"email": "ann@example.com", "name": "laptop"}
    for token_id in (made.id, uuid4()):
        answer = await admin.post(f"/tokens/{token_id}/revoke")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_token")
    assert (await admin.post("/tokens/rubbish/revoke")).status_code == 400
    assert (await admin.get("/tokens")).json() == []
