from __future__ import annotations

import re

import pytest

from studio import ConflictError, Credentials, ForbiddenError, InvalidInputError, NotFoundError, PageQuery
from studio_auth import keys as module
from studio_auth.keys import KEYS_PER_USER, USED_EVERY_MS, key_shown
from studio_auth.memory import BELIEVED_S
from studio_auth.models import ApiKeyCreate

pytestmark = pytest.mark.memory
EMAIL = "maya@example.org"


async def owner(house, email: str = EMAIL):
    return await house.who((await house.accounts.sign_in(email, "", ""))["access_token"])


async def make(house, actor, *scopes: str, days: int = 90) -> dict:
    body = ApiKeyCreate(name="CI", scopes=list(scopes) or ["story:read"], expires_in_days=days)
    return await house.keys.create_api_key(actor, body)


async def test_key_acts_for_its_owner_with_its_scopes_only(house):
    maya = await owner(house)
    made = await make(house, maya, "story:read", "story:read", "signed_in")
    actor = await house.who(made["key"])
    assert (actor.user_id, actor.kind, actor.session_id) == (maya.user_id, "api_key", made["_id"])
    assert actor.scopes == {"story:read", "signed_in"}


async def test_key_is_long_random_and_not_in_the_database(house):
    maya = await owner(house)
    made = [await make(house, maya) for _ in range(2)]
    assert all(re.fullmatch(r"stk_[0-9A-Za-z]{10}_[0-9A-Za-z]{43}", key["key"]) for key in made)
    secrets = {key["key"].rpartition("_")[2] for key in made}
    assert len(secrets) == 2
    stored = str(await house.database["api_keys"].find({}))
    assert not any(secret in stored for secret in secrets)


async def test_key_with_the_right_prefix_and_another_secret_is_refused(house):
    made = await make(house, await owner(house))
    assert await house.who(made["key"])
    head, _, secret = made["key"].rpartition("_")
    other = "A" if secret[-1] != "A" else "B"
    assert await house.who(f"{head}_{secret[:-1]}{other}") is None


@pytest.mark.parametrize(
    "shown",
    [
        "stk_",
        "stk__",
        "stk_x_y",
        "stk_0123456789_",
        "stk_é",
        "stk_" + "x" * 7000,
        'stk_{"$ne":""}_x',
        "stk_%00_",
    ],
    ids=ascii,
)
async def test_text_that_is_no_key_asks_nobody(house, shown, monkeypatch):
    monkeypatch.setattr(house.keys.memory, "_ask", None)
    assert await house.who(shown) is None


async def test_key_expires(house):
    made = await make(house, await owner(house), days=1)
    house.clock.pass_s(86_399)
    assert await house.who(made["key"])
    house.keys.memory.clear()
    house.clock.pass_s(1)
    assert await house.who(made["key"]) is None


async def test_revoked_key_is_dead_at_once_and_its_sockets_too(house):
    maya = await owner(house)
    made, other = await make(house, maya), await make(house, maya)
    assert await house.who(made["key"])
    await house.keys.revoke_api_key(maya, made["_id"])
    assert await house.who(made["key"]) is None
    assert house.sockets.cut == [(maya.user_id, made["_id"])], (
        "the narrowest cut: this key's connections only"
    )
    assert await house.who(other["key"])
    with pytest.raises(NotFoundError):
        await house.keys.revoke_api_key(maya, made["_id"])


async def test_key_revoked_by_another_process_is_believed_for_less_than_a_second(house, monkeypatch):
    made = await make(house, await owner(house))
    now = [1024.0]
    monkeypatch.setattr("studio_auth.memory.time.monotonic", lambda: now[0])
    assert await house.who(made["key"])
    await house.database["api_keys"].update({}, {"$set": {"revoked_at": 1}})
    now[0] += BELIEVED_S + 0.001
    assert await house.who(made["key"]) is None


async def test_key_of_a_suspended_user_is_dead(house):
    made = await make(house, await owner(house))
    await house.database["users"].update({"email": EMAIL}, {"$set": {"status": "suspended"}})
    assert await house.who(made["key"]) is None


async def test_stored_key_without_scopes_is_good_for_nothing(house):
    made = await make(house, await owner(house))
    await house.database["api_keys"].update(made["_id"], {"$set": {"scopes": []}})
    assert await house.who(made["key"]) is None, "to an actor, no scopes mean all"


async def test_key_loses_what_its_owner_loses(build_house):
    house = build_house(admins=[EMAIL])
    admin = await owner(house)
    made = await make(house, admin, "platform:operate")
    assert (await house.who(made["key"])).platform_role == "admin"
    await house.database["users"].update({"email": EMAIL}, {"$set": {"platform_role": "user"}})
    house.keys.memory.clear()
    assert (await house.who(made["key"])).platform_role == "user"


async def test_platform_scope_is_an_admins_to_give(house):
    with pytest.raises(ForbiddenError):
        await make(house, await owner(house), "story:read", "platform:operate")
    assert await house.database["api_keys"].count({}) == 0


@pytest.mark.parametrize("scope", ["*", "story:*", "admin", "public", "story:reed", "$ne"])
async def test_unknown_scope_is_refused_with_what_to_do(house, scope):
    with pytest.raises(InvalidInputError) as caught:
        await make(house, await owner(house), scope)
    assert scope in str(caught.value.extra["errors"])


async def test_others_keys_are_not_listed_and_not_revoked(house):
    maya, tom = await owner(house), await owner(house, "tom@example.org")
    made = await make(house, maya)
    assert (await house.keys.list_api_keys(tom, PageQuery())).items == []
    with pytest.raises(NotFoundError):
        await house.keys.revoke_api_key(tom, made["_id"])
    assert await house.who(made["key"])


async def test_number_of_keys_is_bounded(house, monkeypatch):
    assert KEYS_PER_USER == 50
    monkeypatch.setattr(module, "KEYS_PER_USER", 2)
    maya = await owner(house)
    first, _ = [await make(house, maya) for _ in range(2)]
    with pytest.raises(ConflictError):
        await make(house, maya)
    await house.keys.revoke_api_key(maya, first["_id"])
    assert await make(house, maya)


async def test_last_use_is_kept_coarsely_and_not_per_call(house):
    made = await make(house, await owner(house))

    async def used() -> int | None:
        house.keys.memory.clear()
        await house.who(made["key"])
        for task in tuple(house.ctx._tasks):
            await task
        return (await house.database["api_keys"].get(made["_id"]))["last_used_at"]

    first = await used()
    assert first == house.clock.ms
    house.clock.pass_s(USED_EVERY_MS / 1000 - 1)
    assert await used() == first
    house.clock.pass_s(1)
    assert await used() == house.clock.ms


def test_only_a_bearer_header_carries_a_key():
    assert key_shown(Credentials("bEARER stk_x ")) == "stk_x"
    for shown in (None, "", "stk_x", "Basic stk_x", "Bearer  stk_x", "Bearer x.stk_x.y"):
        assert key_shown(Credentials(shown, {"studio_session": "stk_x"})) is None
