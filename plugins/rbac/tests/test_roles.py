from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
import structlog

from studio import AccessQuery, Actor, Permission, PluginContext
from studio.testing.kit import Services
from studio_projects.api import Projects
from studio_rbac.roles import ROLES, permissions_of
from studio_rbac.service import MEMORY_S, RoleService

pytestmark = pytest.mark.memory
REGISTERED = [
    Permission("project:read", ""),
    Permission("project:write", ""),
    Permission("project:delete", ""),
    Permission("story:read", ""),
    Permission("story:write", ""),
    Permission("budget:read", ""),
    Permission("budget:manage", ""),
    Permission("comment:write", ""),
    Permission("stranger:juggle", "A permission of a plugin nobody here knows"),
    Permission("platform:operate", "", "platform"),
]
NAMES = {permission.name for permission in REGISTERED if permission.scope == "project"}
USER, ADMIN = Actor("U"), Actor("A", platform_role="admin")


class Members:
    """Who is in; counts how often it was asked, and is slow."""

    def __init__(self, **roles: str) -> None:
        self.roles, self.asked, self.listeners = dict(roles), 0, []

    async def role_of(self, user_id, project_id):
        self.asked += 1
        role = self.roles.get(user_id) if project_id == "P" else None
        await asyncio.sleep(0)
        return role

    def on_membership_change(self, listener):
        self.listeners.append(listener)

    async def change(self, user_id, role):
        self.roles[user_id] = role
        for listener in self.listeners:
            await listener(user_id, "P")


def service_of(members: Members) -> RoleService:
    services = Services()
    services.permissions = {permission.name: permission for permission in REGISTERED}
    services.provided = {Projects: ("projects", members)}
    return RoleService(PluginContext("rbac", services, SimpleNamespace(), structlog.get_logger()))


async def may(service, actor, permission, project="P"):
    return (await service.decide(AccessQuery(actor, permission, project))).allowed


@pytest.mark.parametrize(
    ("role", "lacks"),
    [
        ("owner", set()),
        ("producer", {"project:delete"}),
        ("artist", {"project:write", "project:delete", "budget:manage"}),
        ("reviewer", NAMES - {"project:read", "story:read", "budget:read", "comment:write"}),
        ("viewer", NAMES - {"project:read", "story:read", "budget:read"}),
    ],
)
def test_role_holds_what_its_rule_says_of_any_plugins_permission(role, lacks):
    assert permissions_of(role, NAMES) == NAMES - lacks


@pytest.mark.parametrize("role", ["", "root", "Owner", "admin"])
def test_unknown_role_holds_nothing(role):
    assert permissions_of(role, NAMES) == frozenset()


async def test_new_plugins_permission_falls_into_the_roles():
    answers = {role: await may(service_of(Members(U=role)), USER, "stranger:juggle") for role in ROLES}
    assert answers == {"viewer": False, "reviewer": False, "artist": True, "producer": True, "owner": True}


async def test_stranger_may_not_even_know():
    decision = await service_of(Members()).decide(AccessQuery(USER, "project:read", "P"))
    assert (decision.allowed, decision.visible) == (False, False)


async def test_member_without_the_right_may_know():
    decision = await service_of(Members(U="viewer")).decide(AccessQuery(USER, "project:write", "P"))
    assert (decision.allowed, decision.visible) == (False, True)


async def test_admin_has_platform_rights_and_no_projects():
    service = service_of(Members())
    assert await may(service, ADMIN, "platform:operate", None)
    assert not await may(service, ADMIN, "project:read")


async def test_owner_of_a_project_has_no_platform_rights():
    service = service_of(Members(U="owner"))
    assert not await may(service, USER, "platform:operate")
    assert not await may(service, USER, "platform:operate", None)


async def test_right_that_nobody_registers_is_a_no_for_everybody():
    service = service_of(Members(A="owner"))
    assert not await may(service, ADMIN, "no:such", None)
    assert not await may(service, ADMIN, "no:such")


async def test_projects_right_without_a_project_is_a_no_for_everybody():
    service = service_of(Members(A="owner"))
    assert not await may(service, ADMIN, "project:read", None)
    assert not await may(service, ADMIN, "project:read", "")


@pytest.mark.parametrize("role", ["owner", "viewer"])
async def test_scopes_narrow_and_never_widen(role):
    service = service_of(Members(U=role))
    key = Actor("U", kind="api_key", scopes=frozenset({"story:read", "project:delete", "platform:operate"}))
    assert await may(service, key, "story:read")
    assert not await may(service, key, "story:write")
    assert await may(service, key, "project:delete") is (role == "owner")
    assert not await may(service, key, "platform:operate", None)
    held = (await service.my_permissions(key, "P"))["permissions"]
    assert held == (["project:delete", "story:read"] if role == "owner" else ["story:read"])


async def test_role_is_remembered_for_less_than_a_second(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("studio_rbac.service.time.monotonic", lambda: now[0])
    members = Members(U="owner")
    service = service_of(members)
    for _ in range(5):
        assert await may(service, USER, "project:write")
    assert members.asked == 1
    members.roles["U"] = None
    now[0] += MEMORY_S + 0.001
    assert not await may(service, USER, "project:write")
    assert MEMORY_S < 1


async def test_changed_membership_is_forgotten_at_once():
    members = Members(U="owner")
    service = service_of(members)
    assert await may(service, USER, "project:write")
    await members.change("U", "viewer")
    assert not await may(service, USER, "project:write")


async def test_role_read_before_a_change_is_not_remembered_after_it():
    members = Members(U="owner")
    service = service_of(members)
    await asyncio.gather(may(service, USER, "project:write"), members.change("U", "viewer"))
    assert not await may(service, USER, "project:write")


async def test_new_member_is_let_in_at_once():
    members = Members()
    service = service_of(members)
    assert not await may(service, USER, "project:read")
    await members.change("U", "viewer")
    assert await may(service, USER, "project:read")


async def test_memory_of_roles_is_bounded(monkeypatch):
    monkeypatch.setattr("studio_rbac.service.MEMORY_SIZE", 3)
    service = service_of(Members())
    for n in range(10):
        await may(service, Actor(f"U{n}"), "project:read")
    assert len(service._roles) == 3
