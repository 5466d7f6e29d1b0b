import json

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import MEMBERSHIP, Arrival, Users, admit
from shmastra_cloud.secrets_at_rest import Vault


async def test_what_a_provider_tells_of_memberships_is_written_down_once(pool: Pool, vault: Vault) -> None:
    users = Users(pool, vault)
    ann = await admit(users, Arrival("workos", "user_1", "ann@example.com"))
    for admin in (True, True, None, False):
        await admit(users, Arrival("workos", "user_1", "ann@example.com", admin))
    for _ in range(2):
        await users.shut_out(ann, because=MEMBERSHIP)
    await admit(users, Arrival("workos", "user_1", "ann@example.com"))
    await users.set_disabled(
        "ann@example.com", disabled=True
    )  # an admin's doing, which his route writes down
    rows = await pool.fetch("select * from audit_log order by id")
    assert [(row["action"], json.loads(row["detail"]).get("role")) for row in rows] == [
        ("membership.began", "member"),
        ("membership.role", "admin"),
        ("membership.role", "member"),
        ("membership.ended", None),
        ("membership.back", "member"),
    ]
    assert {(row["actor_kind"], row["actor"], row["target"], row["target_id"]) for row in rows} == {
        ("provider", "workos", "ann@example.com", str(ann))
    }
