"""The promises that rest on what a real server does at once: its unique indexes and its atomic updates."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
import structlog

from studio import Actor, ConflictError, NotFoundError, PluginContext, new_id
from studio.testing.kit import Services
from studio_projects.api import RoleBook, UserDirectory
from studio_projects.invitations import InvitationService
from studio_projects.members import MemberService
from studio_projects.migrations import MIGRATIONS
from studio_projects.models import CollaboratorCreate, CollaboratorUpdate, ProjectCreate, ProjectUpdate
from studio_projects.plugin import Plugin
from studio_projects.service import ProjectService
from studio_projects.settings import ProjectsSettings

pytestmark = pytest.mark.database
OWNER, GUEST = Actor("OWNER"), Actor("GUEST")
GUESTS = CollaboratorCreate(email="guest@example.org")


class Directory:
    """Everybody there is, and roles of which each holds all."""

    async def user(self, user_id):
        return {"_id": user_id, "email": f"{user_id.lower()}@example.org"}

    async def permissions_of(self, role_key, project_id):
        return frozenset({"project:invite"})

    async def permissions_in(self, actor, project_id):
        return frozenset({"project:invite"})


async def nothing(*_):
    """Take the place of what a database has no part in."""


@pytest.fixture
async def ctx(database) -> PluginContext:
    database.declare([("projects", c) for c in Plugin().register_collections(None)])
    await database.ensure()
    services = Services()
    quiet = SimpleNamespace(
        log_activity=lambda *_, **__: None, log_project_lifecycle_activity=lambda *_, **__: None
    )
    services.database, services.activity = database, quiet
    services.realtime, services.auth = SimpleNamespace(disconnect=nothing), SimpleNamespace(require=nothing)
    services.settings = SimpleNamespace(server=SimpleNamespace(public_url=None))
    services.provided = {UserDirectory: ("auth", Directory()), RoleBook: ("rbac", Directory())}
    return PluginContext("projects", services, None, structlog.get_logger())


@pytest.fixture
def members(ctx) -> MemberService:
    return MemberService(ctx)


@pytest.fixture
def service(ctx, members) -> ProjectService:
    return ProjectService(ctx, members)


@pytest.fixture
def invitations(ctx, members) -> InvitationService:
    return InvitationService(ctx, members, ProjectsSettings(resend_interval_s=0))


@pytest.fixture
async def project(service) -> str:
    return (await service.create_project(OWNER, ProjectCreate(name="Rain")))["_id"]


def token_of(invitation) -> str:
    return invitation["accept_link"].rpartition("/")[2]


async def test_of_fifty_parallel_invitations_one_counts(invitations, members, project):
    made = await asyncio.gather(
        *(invitations.invite(OWNER, project, GUESTS) for _ in range(50)), return_exceptions=True
    )
    assert sum(isinstance(outcome, ConflictError) for outcome in made) == 49
    assert len(await members.holders_of("viewer", project)) == 1


async def test_of_fifty_parallel_acceptances_one_has_an_effect(invitations, members, project):
    token = token_of(await invitations.invite(OWNER, project, GUESTS))
    made = await asyncio.gather(*(invitations.accept(GUEST, token) for _ in range(50)))
    assert {(member["state"], member["rev"]) for member in made} == {("active", 2)}
    assert await members.role_of("GUEST", project) == "viewer"


async def test_two_invited_are_both_without_a_user(invitations, members, project):
    for name in ("ann", "bob"):
        await invitations.invite(OWNER, project, CollaboratorCreate(email=f"{name}@example.org"))
    assert len(await members.holders_of("viewer", project)) == 2


async def test_of_resends_at_once_one_link_is_good(invitations, project):
    first = await invitations.invite(OWNER, project, GUESTS)
    made = await asyncio.gather(
        *(invitations.resend(OWNER, project, first["_id"]) for _ in range(10)), return_exceptions=True
    )
    links = [m["accept_link"] for m in (first, *made) if isinstance(m, dict)]
    assert len(links) >= 2
    good = []
    for link in links:
        try:
            good.append(await invitations.accept(GUEST, link.rpartition("/")[2]))
        except NotFoundError:
            continue
    assert len(good) == 1


async def test_removed_member_comes_back_under_the_same_id(invitations, members, project):
    first = await invitations.accept(GUEST, token_of(await invitations.invite(OWNER, project, GUESTS)))
    await members.remove_member(OWNER, project, first["_id"])
    assert await members.role_of("GUEST", project) is None
    again = await invitations.accept(GUEST, token_of(await invitations.invite(OWNER, project, GUESTS)))
    assert (again["_id"], again["state"]) == (first["_id"], "active")


async def test_of_owners_who_leave_at_once_one_stays(invitations, members, project):
    owners = {"OWNER": (await members.holders_of("owner", project))[0]["_id"]}
    for name in ("ANN", "BOB", "CID"):
        body = CollaboratorCreate(email=f"{name.lower()}@example.org", role_key="owner")
        link = token_of(await invitations.invite(OWNER, project, body))
        owners[name] = (await invitations.accept(Actor(name), link))["_id"]
    leaving = [
        members.remove_member(Actor(name), project, member) if turn % 2 else
        members.update_member(Actor(name), project, member, CollaboratorUpdate(role_key="viewer"))
        for turn in range(6) for name, member in owners.items()
    ]  # fmt: skip
    await asyncio.gather(*leaving, return_exceptions=True)
    left = {member["user_id"] for member in await members.holders_of("owner", project)}
    document = await members.project(project)
    assert left
    assert document["owner_id"] in left
    assert set(document["owner_ids"]) <= left


async def test_older_projects_learn_who_owns_them(database, members, project):
    await members._projects.update(project, {"$unset": {"owner_ids": ""}})
    await members.members.update({"project_id": project}, {"$unset": {"rev": ""}})
    for _ in range(2):
        await MIGRATIONS[0].apply(database)
    assert (await members.project(project))["owner_ids"] == ["OWNER"]
    assert [member["rev"] for member in await members.holders_of("owner", project)] == [1]


async def test_repeated_run_finds_the_project_of_the_first(service, members):
    once = new_id()
    made = await asyncio.gather(
        *(service.create_project(OWNER, ProjectCreate(name="Rain"), once) for _ in range(5))
    )
    assert {project["_id"] for project in made} == {once}
    assert len({project["slug"] for project in made}) == 1
    assert await members.role_of("OWNER", once) == "owner"


async def test_of_parallel_changes_to_one_revision_one_wins(service):
    project = (await service.create_project(OWNER, ProjectCreate(name="Rain")))["_id"]
    changes = [ProjectUpdate(rev=1, name=f"N{n}") for n in range(10)]
    outcomes = await asyncio.gather(
        *(service.update_project(OWNER, project, change) for change in changes), return_exceptions=True
    )
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 9
    assert (await service.get_project(project))["rev"] == 2
