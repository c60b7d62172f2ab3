"""The promises that rest on what a real server does at once: its unique indexes and its atomic updates."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
import structlog

from studio import Actor, ConflictError, PluginContext, new_id
from studio.testing.kit import Services
from studio_projects.api import UserDirectory
from studio_projects.models import CollaboratorCreate, ProjectCreate, ProjectUpdate
from studio_projects.plugin import Plugin
from studio_projects.service import ProjectService

pytestmark = pytest.mark.database
OWNER, GUEST = Actor("OWNER"), Actor("GUEST")


class Directory:
    async def user(self, user_id):
        return {"_id": user_id, "email": f"{user_id.lower()}@example.org"}

    async def user_by_email(self, email):
        return {"_id": email.partition("@")[0].upper(), "email": email}


@pytest.fixture
async def service(database) -> ProjectService:
    database.declare([("projects", c) for c in Plugin().register_collections(None)])
    await database.ensure()
    services = Services()
    quiet = SimpleNamespace(
        log_activity=lambda *_, **__: None, log_project_lifecycle_activity=lambda *_, **__: None
    )
    services.database, services.activity = database, quiet
    services.provided = {UserDirectory: ("auth", Directory())}
    return ProjectService(PluginContext("projects", services, None, structlog.get_logger()))


async def test_of_parallel_invitations_one_counts(service):
    project = (await service.create_project(OWNER, ProjectCreate(name="Rain")))["_id"]
    body = CollaboratorCreate(email="guest@example.org")
    outcomes = await asyncio.gather(
        *(service.add_collaborator(OWNER, project, body) for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 19
    assert await service.role_of("GUEST", project) == "viewer"


async def test_removed_member_comes_back_under_the_same_id(service, monkeypatch):
    project = (await service.create_project(OWNER, ProjectCreate(name="Rain")))["_id"]
    body = CollaboratorCreate(email="guest@example.org")
    first = await service.add_collaborator(OWNER, project, body)
    await service._change_member(project, first["_id"], {"state": "removed"})
    assert await service.role_of("GUEST", project) is None
    again = await service.add_collaborator(OWNER, project, body)
    assert (again["_id"], again["state"]) == (first["_id"], "active")


async def test_repeated_run_finds_the_project_of_the_first(service):
    once = new_id()
    made = await asyncio.gather(
        *(service.create_project(OWNER, ProjectCreate(name="Rain"), once) for _ in range(5))
    )
    assert {project["_id"] for project in made} == {once}
    assert len({project["slug"] for project in made}) == 1
    assert await service.role_of("OWNER", once) == "owner"


async def test_of_parallel_changes_to_one_revision_one_wins(service):
    project = (await service.create_project(OWNER, ProjectCreate(name="Rain")))["_id"]
    changes = [ProjectUpdate(rev=1, name=f"N{n}") for n in range(10)]
    outcomes = await asyncio.gather(
        *(service.update_project(OWNER, project, change) for change in changes), return_exceptions=True
    )
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 9
    assert (await service.get_project(project))["rev"] == 2


async def test_owner_is_not_removed_on_a_server_either(service):
    project = (await service.create_project(OWNER, ProjectCreate(name="Rain")))["_id"]
    member = await service._members.find_one({"project_id": project})
    with pytest.raises(ConflictError, match="stays its owner"):
        await service._change_member(project, member["_id"], {"state": "removed"})
    assert await service.role_of("OWNER", project) == "owner"
