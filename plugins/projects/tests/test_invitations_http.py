from __future__ import annotations

import asyncio
import hashlib
import re

import pytest

from studio import new_id, now_ms
from studio_projects.invitations import InvitationService

pytestmark = pytest.mark.http
INVITATIONS = "/api/rbac/invitations"
DAY_MS = 86_400_000


def address() -> str:
    return f"guest-{new_id().lower()}@example.org"


@pytest.fixture
def service(server) -> InvitationService:
    return server.studio.services.provided[InvitationService][1]


@pytest.fixture
def later(service, monkeypatch):
    """Move the clock of invitations; `later(seconds)` adds to it."""
    ahead = [0]
    monkeypatch.setattr(service, "_clock", lambda: now_ms() + ahead[0])
    return lambda seconds: ahead.append(ahead.pop() + int(seconds * 1000))


async def invite(cast, email: str, role: str = "artist", by=None):
    return await (by or cast.owner).post(cast.collaborators, {"email": email, "roleKey": role})


async def logged(cast, action: str) -> list[dict]:
    services = cast.owner.studio.services
    await services.activity.flush()
    return await services.database["projectActivities"].find(
        {"project_id": cast.project["id"], "action": action}, sort=[("_id", 1)]
    )


async def stored(cast, email: str) -> dict:
    members = cast.owner.studio.services.database["collaborators"]
    return await members.find_one({"project_id": cast.project["id"], "email": email})


async def test_somebody_unknown_is_invited_and_joins_when_they_come(server, cast):
    email = address()
    invited = await invite(cast, email.upper())
    assert (invited.status, invited.json["email"], invited.json["state"]) == (201, email, "invited")
    assert invited.json["userId"] is None
    assert invited.json["expiresAt"] - now_ms() == pytest.approx(7 * DAY_MS, abs=60_000)
    guest = await server.sign_in(email)
    assert (await guest.get(cast.path)).status == 404
    joined = await guest.post(f"{INVITATIONS}/{await server.invitation(invited)}/accept")
    assert (joined.status, joined.json["state"], joined.json["roleKey"]) == (200, "active", "artist")
    assert joined.json["userId"] == guest.user["id"]
    assert (await guest.get(cast.path)).status == 200
    assert [p["id"] for p in (await guest.get("/api/workbench/projects")).json["items"]] == [
        cast.project["id"]
    ]


async def test_somebody_known_is_asked_like_anybody_else(cast):
    invited = await invite(cast, cast.stranger.user["email"])
    unknown = await invite(cast, address())
    assert invited.json.keys() == unknown.json.keys()
    assert (invited.json["state"], invited.json["userId"]) == ("invited", None)
    assert (await cast.stranger.get(cast.path)).status == 404


async def test_token_lies_in_the_database_as_a_hash_only(server, cast):
    invited = await invite(cast, address())
    token = await server.invitation(invited)
    document = await stored(cast, invited.json["email"])
    assert token not in str(document)
    assert document["token_hash"] == hashlib.sha256(token.encode()).hexdigest()
    listed = await cast.owner.get(cast.collaborators)
    assert token not in listed.bytes.decode()
    assert "token" not in listed.bytes.decode().lower()


async def test_link_is_for_the_invited_address_only(server, cast):
    email = address()
    token = await server.invitation(await invite(cast, email))
    for action in ("accept", "decline"):
        answer = await cast.stranger.post(f"{INVITATIONS}/{token}/{action}")
        assert (answer.status, answer.json["code"]) == (403, "invitation_for_another_address")
        assert email not in answer.json["detail"]
    assert (await server.post(f"{INVITATIONS}/{token}/accept")).status == 401
    guest = await server.sign_in(email)
    assert (await guest.post(f"{INVITATIONS}/{token}/accept")).status == 200


async def test_of_fifty_invitations_of_one_address_one_counts(cast):
    email = address()
    answers = await asyncio.gather(*(invite(cast, email) for _ in range(50)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 49
    assert {answer.json["code"] for answer in answers if answer.status == 409} == {"invitation_exists"}
    items = (await cast.owner.get(f"{cast.collaborators}?limit=200")).json["items"]
    assert [item["email"] for item in items].count(email) == 1
    assert len(await logged(cast, "collaborator.invited")) == 1 + 4


async def test_of_fifty_acceptances_one_has_an_effect(server, cast):
    email = address()
    token = await server.invitation(await invite(cast, email))
    guest = await server.sign_in(email)
    before = len(await logged(cast, "collaborator.added"))
    answers = await asyncio.gather(*(guest.post(f"{INVITATIONS}/{token}/accept") for _ in range(50)))
    assert {answer.status for answer in answers} == {200}
    assert {(answer.json["id"], answer.json["rev"]) for answer in answers} == {(answers[0].json["id"], 2)}
    assert len(await logged(cast, "collaborator.added")) == before + 1


async def test_acceptance_and_refusal_at_once_leave_one_of_them(server, cast):
    email = address()
    token = await server.invitation(await invite(cast, email))
    guest = await server.sign_in(email)
    calls = [guest.post(f"{INVITATIONS}/{token}/{how}") for how in ("accept", "decline") * 10]
    answers = await asyncio.gather(*calls)
    assert {answer.status for answer in answers} <= {200, 204, 404}
    state = (await stored(cast, email))["state"]
    assert (await guest.get(cast.path)).status == (200 if state == "active" else 404)
    assert [a.status for a in answers].count(204) == (state == "declined")


async def test_declined_invitation_is_over_and_can_be_made_again(server, cast):
    email = address()
    first = await invite(cast, email)
    token = await server.invitation(first)
    guest = await server.sign_in(email)
    assert (await guest.post(f"{INVITATIONS}/{token}/decline")).status == 204
    for how in ("accept", "decline"):
        assert (await guest.post(f"{INVITATIONS}/{token}/{how}")).status == 404
    assert email not in str((await cast.owner.get(cast.collaborators)).json)
    again = await invite(cast, email, "viewer")
    assert (again.status, again.json["id"], again.json["roleKey"]) == (201, first.json["id"], "viewer")
    declined = await logged(cast, "collaborator.declined")
    assert [a["actor"]["id"] for a in declined] == [guest.user["id"]]


async def test_expired_invitation_says_so_and_gives_way_to_another(server, cast, later):
    email = address()
    token = await server.invitation(await invite(cast, email))
    guest = await server.sign_in(email)
    later(7 * 86_400 + 1)
    answer = await guest.post(f"{INVITATIONS}/{token}/accept")
    assert (answer.status, answer.json["code"]) == (409, "invitation_expired")
    again = await invite(cast, email)
    assert again.status == 201
    assert (await guest.post(f"{INVITATIONS}/{token}/accept")).status == 404


async def test_list_tells_the_expired_from_those_who_may_still_come(cast):
    alive, dead = address(), address()
    for email in (alive, dead):
        await invite(cast, email)
    members = cast.owner.studio.services.database["collaborators"]
    await members.update({"project_id": cast.project["id"], "email": dead}, {"$set": {"expires_at": 1}})
    shown = {}
    for state in ("active", "invited", "expired"):
        items = (await cast.viewer.get(f"{cast.collaborators}?state={state}")).json["items"]
        assert {item["state"] for item in items} == {state}
        shown[state] = [item["email"] for item in items]
    assert (shown["invited"], shown["expired"], len(shown["active"])) == ([alive], [dead], 5)
    assert (await cast.viewer.get(f"{cast.collaborators}?state=removed")).status == 422


async def test_invitation_is_sent_again_with_a_new_link_after_a_while(server, cast, later):
    email = address()
    invited = await invite(cast, email)
    token = await server.invitation(invited)
    path = f"{cast.collaborators}/{invited.json['id']}/resend"
    early = await cast.owner.post(path)
    assert (early.status, early.json["code"]) == (429, "rate_limited")
    assert 0 < int(early.headers["Retry-After"]) <= 60
    later(61)
    again = await cast.producer.post(path)
    assert (again.status, again.json["id"]) == (200, invited.json["id"])
    assert again.json["expiresAt"] > invited.json["expiresAt"]
    guest = await server.sign_in(email)
    assert (await guest.post(f"{INVITATIONS}/{token}/accept")).status == 404
    assert len(await logged(cast, "collaborator.reminded")) == 1


async def test_member_is_not_sent_an_invitation_again(shared):
    answer = await shared.owner.post(f"{shared.collaborators}/{shared.members['viewer']}/resend")
    assert (answer.status, answer.json["code"]) == (409, "collaborator_exists")
    answer = await invite(shared, shared.viewer.user["email"])
    assert (answer.status, answer.json["code"]) == (409, "collaborator_exists")


async def test_invitation_takes_another_role_or_is_withdrawn(server, cast):
    invited = await invite(cast, address())
    token = await server.invitation(invited)
    path = f"{cast.collaborators}/{invited.json['id']}"
    assert (await cast.owner.patch(path, {"roleKey": "viewer"})).json["state"] == "invited"
    assert (await cast.owner.delete(path)).status == 204
    guest = await server.sign_in(invited.json["email"])
    assert (await guest.post(f"{INVITATIONS}/{token}/accept")).status == 404


async def test_owner_may_invite_an_owner(server, cast):
    email = address()
    token = await server.invitation(await invite(cast, email, "owner"))
    heir = await server.sign_in(email)
    await heir.post(f"{INVITATIONS}/{token}/accept")
    assert (await cast.owner.delete(f"{cast.collaborators}/{cast.members['owner']}")).status == 204
    assert (await heir.delete(cast.path)).status == 204


async def test_invitation_of_somebody_who_lost_the_right_is_void(server, cast):
    email = address()
    token = await server.invitation(await invite(cast, email, "producer", by=cast.producer))
    producer = f"{cast.collaborators}/{cast.members['producer']}"
    await cast.owner.patch(producer, {"roleKey": "viewer"})
    guest = await server.sign_in(email)
    for _ in range(2):
        answer = await guest.post(f"{INVITATIONS}/{token}/accept")
        assert (answer.status, answer.json["code"]) == (409, "invitation_withdrawn")
        await cast.owner.delete(producer)
    assert (await guest.get(cast.path)).status == 404


async def test_invitation_to_a_deleted_project_leads_nowhere(server, cast):
    email = address()
    token = await server.invitation(await invite(cast, email))
    await cast.owner.delete(cast.path)
    guest = await server.sign_in(email)
    assert (await guest.post(f"{INVITATIONS}/{token}/accept")).status == 404


async def test_one_person_causes_so_many_mails_an_hour(cast, service, monkeypatch, later):
    few = service._settings.model_copy(update={"invitations_per_hour": 6})
    monkeypatch.setattr(service, "_settings", few)
    assert [(await invite(cast, address())).status for _ in range(3)] == [201, 201, 429]
    assert (await invite(cast, address(), by=cast.producer)).status == 201
    later(3601)
    assert (await invite(cast, address())).status == 201


@pytest.mark.parametrize("role", ["artist", "reviewer", "viewer", "stranger"])
async def test_who_may_not_invite_is_refused(shared, role):
    client = getattr(shared, role)
    status = 404 if role == "stranger" else 403
    assert (await invite(shared, address(), "viewer", by=client)).status == status
    path = f"{shared.collaborators}/{shared.members['viewer']}"
    assert (await client.post(f"{path}/resend")).status == status
    assert (await client.patch(path, {"roleKey": "viewer"})).status == status


@pytest.mark.parametrize(
    "token", ["x", "a" * 42, "a" * 43, "a" * 44, "%00" * 43, '{"$ne":null}', "[$ne]", "..%2F..", "ä" * 43]
)
async def test_token_that_is_none_is_not_found(client, token):
    for how in ("accept", "decline"):
        assert (await client.post(f"{INVITATIONS}/{token}/{how}")).status == 404


async def test_answer_with_a_link_is_not_kept_for_an_idempotency_key(cast):
    headers, email = {"Idempotency-Key": new_id()}, address()
    body = {"email": email, "roleKey": "viewer"}
    statuses = [(await cast.owner.post(cast.collaborators, body, headers=headers)).status for _ in range(2)]
    assert statuses == [201, 409]


async def test_invitation_is_mailed_and_its_link_told_to_nobody_else(server, cast):
    await cast.owner.patch("/api/auth/me", {"name": "Maya"})
    invited = await invite(cast, address())
    assert (invited.json["mail"], invited.json["acceptLink"]) == ("queued", None)
    token = await server.invitation(invited)
    mails = [path.read_text() for path in server._outbox.glob("*.eml")]
    assert [token in mail and "Maya" in mail and "Rain" in mail for mail in mails].count(True) == 1


async def test_without_a_mail_plugin_the_inviter_hands_the_link_on(cast, service, monkeypatch):
    monkeypatch.setattr(service, "_mails", lambda: None)
    invited = (await invite(cast, address())).json
    assert invited["mail"] == "not_sent"
    assert re.fullmatch(r"/console#/invitations/[\w-]{43}", invited["acceptLink"])
    behind = cast.owner.studio.settings.server.model_copy(update={"public_url": "https://studio.example.org"})
    services = cast.owner.studio.services
    monkeypatch.setattr(services, "settings", services.settings.model_copy(update={"server": behind}))
    invited = (await invite(cast, address())).json
    assert invited["acceptLink"].startswith("https://studio.example.org/console#/invitations/")
