from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from studio import new_id

if TYPE_CHECKING:
    from studio.testing.client import Client

PROJECTS = "/api/workbench/projects"


@dataclass
class Cast:
    """A project with its owner, one member of each other role, and a stranger."""

    project: dict[str, Any]
    owner: Client
    producer: Client
    artist: Client
    reviewer: Client
    viewer: Client
    stranger: Client
    members: dict[str, str]
    """Role → id of the collaborator."""

    @property
    def path(self) -> str:
        return f"{PROJECTS}/{self.project['id']}"

    @property
    def leave(self) -> str:
        return f"/api/rbac/projects/{self.project['id']}/leave"

    @property
    def collaborators(self) -> str:
        return f"/api/rbac/projects/{self.project['id']}/collaborators"


async def new_cast(server: Client) -> Cast:
    names = ("owner", "producer", "artist", "reviewer", "viewer", "stranger")
    people = {name: await server.sign_in(f"{name}-{new_id().lower()}@example.org") for name in names}
    project = (await people["owner"].post(PROJECTS, {"name": "Rain"})).json
    for role in names[1:5]:
        await people[role].join(people["owner"], project["id"], role)
    listed = (await people["owner"].get(f"/api/rbac/projects/{project['id']}/collaborators")).json["items"]
    return Cast(project, **people, members={member["roleKey"]: member["id"] for member in listed})


@pytest.fixture(scope="module")
async def shared(server: Client) -> Cast:
    """A cast for tests that change nothing of it."""
    return await new_cast(server)


@pytest.fixture
async def cast(server: Client) -> Cast:
    return await new_cast(server)
