import asyncio

import pytest

from shmastra_cloud.database import Pool
from shmastra_cloud.identity import MEMBERSHIP, Arrival, EmailTaken, ShutOut, Users, admit
from shmastra_cloud.secrets_at_rest import Vault

ANN = Arrival("oidc", "https://id.example#1", "Ann@Example.com")


@pytest.fixture
def users(pool: Pool, vault: Vault) -> Users:
    return Users(pool, vault)


async def test_somebody_new_becomes_one_user_however_often_he_comes(users: Users) -> None:
    found = await asyncio.gather(*(admit(users, ANN) for _ in range(4)))
    assert len(set(found)) == 1
    assert [(row["email"], row["role"]) for row in await users.all()] == [("ann@example.com", "member")]


async def test_who_was_invited_before_is_known_by_his_email_and_keeps_his_role(users: Users) -> None:
    invited = await users.invite("ann@example.com", admin=True)
    assert await admit(users, ANN) == invited
    assert (await users.all())[0]["role"] == "admin"


async def test_the_providers_word_on_roles_counts_both_ways(users: Users) -> None:
    for admin, role in ((True, "admin"), (None, "admin"), (False, "member")):
        await admit(users, Arrival("workos", "user_1", "ann@example.com", admin))
        assert (await users.all())[0]["role"] == role


async def test_a_new_email_at_the_provider_is_taken_over_unless_it_is_anothers(users: Users) -> None:
    ann = await admit(users, ANN)
    assert await admit(users, Arrival("oidc", ANN.subject, "ann@new.example")) == ann
    assert (await users.all())[0]["email"] == "ann@new.example"
    await users.invite("bob@example.com")
    assert await admit(users, Arrival("oidc", ANN.subject, "bob@example.com")) == ann
    assert {row["email"] for row in await users.all()} == {"ann@new.example", "bob@example.com"}


async def test_an_email_that_was_given_to_somebody_else_does_not_open_the_old_account(users: Users) -> None:
    await admit(users, ANN)
    with pytest.raises(EmailTaken):
        await admit(users, Arrival("oidc", "https://id.example#2", "ann@example.com"))


async def test_an_admins_no_stands_and_that_of_a_membership_is_lifted_by_one(users: Users) -> None:
    ann = await admit(users, ANN)
    await users.shut_out(ann, because=MEMBERSHIP)
    assert await admit(users, ANN) == ann
    assert (await users.all())[0]["disabled_at"] is None
    await users.set_disabled("ann@example.com", disabled=True)
    await users.shut_out(ann, because=MEMBERSHIP)
    with pytest.raises(ShutOut):
        await admit(users, ANN)
