"""A whole Studio in memory with an owner, a stranger who owns as much, a viewer of the owner's and an admin."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession

from studio import new_id
from studio.testing.client import serving

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

NAME = "security_crawl"
MARK = "zq7canary"
"""Stands in everything that belongs to the owner, so that it can be found where it must not be."""
KEY_SCOPE = "project:read"
"""What the API keys of the stage may."""
OURS = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}(-\d+)*")
"""An id that we have made: two people have the same one only where one sees what belongs to the other."""
STORY = f"""Title: {MARK}

INT. {MARK} KITCHEN - NIGHT

Ann puts the kettle on the table.

ANN
The {MARK} is cold.
"""


def load_crawl() -> Any:
    """Load crawl.py once per run."""
    if NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(NAME, Path(__file__).with_name("crawl.py"))
        assert spec
        assert spec.loader
        sys.modules[NAME] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[NAME])
    return sys.modules[NAME]


@dataclass
class Stage:
    """Who plays: the owner, a stranger, a viewer of the owner's project, an admin of the platform."""

    api: Any
    owner: Any
    stranger: Any
    viewer: Any
    admin: Any
    secret: frozenset[str]
    """The owner's ids, and nobody else's: in an answer to somebody else they are a leak. What the stranger could
    read takes none of them away, else a list that shows everybody's things would excuse itself."""
    viewer_may: frozenset[str]
    platform: frozenset[str]
    """The permissions that only an admin holds."""
    renew: Callable[[Any], Awaitable[None]]
    """Signs a player in again, whose session was ended."""
    another: Callable[[], Awaitable[Any]]
    """Makes one more owner, with all that the first had."""
    key_scope: str
    """The one scope of everybody's API key."""
    studio: Any
    """The platform behind it, where only a look inside shows what was done."""


@pytest.fixture(scope="package")
async def stage(tmp_path_factory):
    crawl, folder = load_crawl(), tmp_path_factory.mktemp("security")
    more = {"STUDIO_AUTH__ADMINS": '["admin@example.org"]', "STUDIO_PASSWORD__ENABLED": "true"}
    more |= {"STUDIO_OIDC__PROVIDERS__HOUSE__ISSUER": "https://id.example.org"}
    more |= {"STUDIO_OIDC__PROVIDERS__HOUSE__CLIENT_ID": "studio"}
    more |= {"STUDIO_CENTRIFUGO__API_URL": "http://127.0.0.1:9/api", "STUDIO_CENTRIFUGO__API_KEY": "k" * 32}
    more |= {"STUDIO_CENTRIFUGO__TOKEN_SECRET": "s" * 32}
    async with serving(folder, **more) as nobody, ClientSession(auto_decompress=True) as session:
        document = (await nobody.get("/api/openapi.json")).json
        api = crawl.Api(session, nobody._base, document)
        viewer, admin = await nobody.sign_in("viewer@example.org"), await nobody.sign_in("admin@example.org")
        roles = (await admin.get("/api/rbac/roles")).json["items"]
        may = next(frozenset(role["permissions"]) for role in roles if role["key"] == "viewer")
        rights = (await admin.get("/api/rbac/permissions")).json["items"]
        platform = frozenset(right["name"] for right in rights if right["scope"] == "platform")
        others = [crawl.Owner(p.user["email"], p.tokens["accessToken"]) for p in (viewer, admin)]

        async def renew(person: Any) -> None:
            person.token = (await nobody.sign_in(person.address)).tokens["accessToken"]

        async def another() -> Any:
            return await made_owner(f"{new_id().lower()}@example.org", STORY)

        async def made_owner(address: str, text: str) -> Any:
            person = await seed(crawl, nobody, address, text)
            await api.explore(person, others[1], platform)
            return person

        newcomer = crawl.Owner("", (await nobody.sign_in("newcomer@example.org")).tokens["accessToken"])
        await api.explore(
            newcomer, others[1], platform
        )  # what everybody sees, while the owner has nothing yet
        owner = await made_owner(f"{MARK}-owner@example.org", STORY)
        known = {client.user["id"] for client in (viewer, admin)}  # they work in everybody's projects
        stranger = await made_owner("stranger@example.org", STORY.replace(MARK, "plain"))
        ours = {found for found in owner.ids if OURS.fullmatch(found)}  # not of voices, models, roles
        secret = frozenset(ours - newcomer.ids - known)
        yield Stage(
            api, owner, stranger, *others, secret, may, platform, renew, another, KEY_SCOPE, nobody.studio
        )


async def seed(crawl: Any, nobody: Any, address: str, text: str) -> Any:
    """Make one of each thing that the schemas alone cannot make, and remember where it can be found."""
    await nobody.sign_in(address)  # a second session, to be ended by others
    client = await nobody.sign_in(address)
    title = text.splitlines()[0].removeprefix("Title: ")
    project = await made(client, "/api/workbench/projects", {"name": title, "stylePrompt": title})
    about = {"projectId": project["id"]}
    story = await made(client, "/api/stories", {**about, "text": text, "title": title, "format": "fountain"})
    begun = await made(client, f"/api/stories/{story['id']}/breakdown", None)
    await client.wait_for(f"/api/assetGen/jobs/{begun['jobId']}", lambda job: job["state"] == "succeeded")
    tree = (await client.get(f"/api/stories/{story['id']}/tree")).json
    await made(client, f"/api/stories/{story['id']}/props", {"name": title})
    target = {"type": "shot", "id": tree["shots"][0]["id"], "slot": "panel"}
    panel = await made(client, "/api/assetGen/generate", {"target": target})
    await client.wait_for(f"/api/assetGen/jobs/{panel['job']['id']}", lambda job: job["state"] == "succeeded")
    await made(client, "/api/workbench/timelines", {"storyId": story["id"], "name": title})
    voice = {"storyId": story["id"], "characterId": tree["characters"][0]["id"], "rate": 150}
    assert (await client.put("/api/assetGen/voice-settings", voice)).status == 200
    viewer = await nobody.sign_in("viewer@example.org")
    await viewer.join(client, project["id"])
    role = {**about, "key": "helper", "title": title, "permissions": ["story:read"]}
    role_id = (await made(client, "/api/rbac/roles", role))["id"]
    webhook = {
        **about,
        "url": "https://hooks.invalid/",
        "eventTypes": ["webhook.deleted"],
        "description": title,
    }
    endpoint = await made(client, "/api/webhooks/endpoints", webhook)
    await made(client, f"/api/webhooks/endpoints/{endpoint['id']}/test", None)
    if nobody.studio:  # else the Studio is another process, whose database is its own
        await nobody.studio.services.database["webhook_inbox"].insert(vendors_call(title))
    key = await made(client, "/api/auth/api-keys", {"name": title, "scopes": [KEY_SCOPE]})
    found = crawl.Owner(address, client.tokens["accessToken"], key=key["key"])
    found.names |= {"project_id": project["id"], "story_id": story["id"], "shot_id": target["id"]}
    found.names["role_id"] = role_id
    found.names["token"] = await invited(nobody, client)
    found.samples |= {
        "POST /api/assetGen/generate": {"target": target},
        "POST /api/assetGen/estimate": {"storyId": story["id"]},
        "POST /api/stories": {**about, "text": text},
        "POST /api/auth/api-keys": {"name": "Words", "scopes": [KEY_SCOPE]},
        "POST /api/webhooks/endpoints": webhook,
        "POST /api/rbac/roles": role | {"key": "another"},
        "PATCH /api/rbac/projects/{project_id}/collaborators/{collaborator_id}": {"roleKey": "viewer"},
    }
    for kind, parts in tree.items():
        found.segments[kind] = parts[0] if isinstance(parts, list) and parts else parts
    found.take(tree)
    return found


def vendors_call(title: str) -> dict[str, Any]:
    """Return a call that has been worked on, as the inbox keeps it: none of the stage's vendors calls by itself."""
    call = {"provider": "vendor", "account": "", "delivery_id": new_id(), "kind": title, "state": "processed"}
    call |= {
        "lane": "vendor",
        "attempts": 1,
        "next_at": 0,
        "received_at": 1,
        "headers": {},
        "body": title.encode(),
    }
    return call | {"news": '{"delivery_id": "x"}'}


async def invited(nobody: Any, client: Any) -> str:
    """Invite the client to somebody else's project; return the invitation's token."""
    inviter = await nobody.sign_in("inviter@example.org")
    project = await made(inviter, "/api/workbench/projects", {"name": "Elsewhere"})
    path = f"/api/rbac/projects/{project['id']}/collaborators"
    answer = await inviter.post(path, {"email": client.user["email"], "roleKey": "viewer"})
    assert answer.status == 201, answer
    return str(await client.invitation(answer))


async def made(client: Any, path: str, body: Any) -> Any:
    answer = await client.post(path, body)
    assert answer.status in (200, 201, 202), (path, answer)
    return answer.json


@pytest.fixture
def mark():
    return MARK
