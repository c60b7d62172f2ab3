"""Wires projects into the platform."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import (
    ActivityAction,
    Collection,
    Index,
    Manifest,
    Migration,
    Permission,
    PluginContext,
    Route,
    StudioHooks,
    hookimpl,
)
from studio_projects.api import Projects
from studio_projects.invitations import InvitationService
from studio_projects.members import MemberService
from studio_projects.migrations import MIGRATIONS
from studio_projects.routes import ROUTES
from studio_projects.service import ProjectService
from studio_projects.settings import ProjectsSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

PROJECT_DEFAULTS = {
    "owner_id": ...,
    "rev": ...,
    "name": "",
    "aspect": "16:9",
    "fps": 24,
    "resolution": "720p",
    "language": "en",
    "style_prompt": "",
    "status": "active",
    "deleted_at": None,
}


class Plugin(StudioHooks):
    """Projects and their collaborators."""

    manifest = Manifest(
        name="projects", after=("audit", "mailer"), provides=("Projects",), settings=ProjectsSettings
    )

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        """Return the routes under /api/workbench/projects and /api/rbac/projects."""
        return ROUTES

    @hookimpl
    def register_collections(self, ctx: PluginContext) -> list[Collection]:
        """Return projects and collaborators."""
        return [
            Collection("projects", indexes=(Index((("slug", 1),), unique=True),), defaults=PROJECT_DEFAULTS),
            Collection(
                "collaborators",
                indexes=(
                    Index((("project_id", 1), ("user_id", 1)), unique=True, partial={"user_id": {"$gt": ""}}),
                    Index((("project_id", 1), ("email", 1)), unique=True),
                    Index((("project_id", 1), ("_id", 1))),
                    Index((("token_hash", 1),), unique=True, partial={"token_hash": {"$gt": ""}}),
                    Index((("user_id", 1),)),
                    Index((("invited_by", 1), ("sent_at", 1))),
                ),
                defaults=dict.fromkeys(("project_id", "email", "role_key", "state", "rev"), ...),
            ),
        ]

    @hookimpl
    def register_migrations(self, ctx: PluginContext) -> Sequence[Migration]:
        """Return what older data lacks."""
        return MIGRATIONS

    @hookimpl
    def register_permissions(self, ctx: PluginContext) -> list[Permission]:
        """Return the rights over a project itself."""
        return [
            Permission("project:read", "See the project"),
            Permission("project:write", "Change the project's settings"),
            Permission("project:invite", "Add and remove collaborators"),
            Permission("project:delete", "Delete the project"),
        ]

    @hookimpl
    def register_activities(self, ctx: PluginContext) -> list[ActivityAction]:
        """Return the lifecycle of projects and of memberships."""
        return [
            ActivityAction("project.created", "created the project {name}", "lifecycle"),
            ActivityAction("project.updated", "changed the project's {fields}", "lifecycle"),
            ActivityAction("project.deleted", "deleted the project", "lifecycle"),
            ActivityAction("collaborator.invited", "invited {email} as {role}", "collaborators"),
            ActivityAction("collaborator.reminded", "sent {email} the invitation again", "collaborators"),
            ActivityAction("collaborator.added", "joined as {role}", "collaborators"),
            ActivityAction("collaborator.declined", "declined the invitation as {role}", "collaborators"),
            ActivityAction("collaborator.changed", "made {email} {role}", "collaborators"),
            ActivityAction("collaborator.removed", "removed {email}", "collaborators"),
            ActivityAction("collaborator.left", "left the project", "collaborators"),
        ]

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Provide the services, that of projects also as `Projects`."""
        members = MemberService(ctx)
        service = ProjectService(ctx, members)
        ctx.provide(MemberService, members)
        ctx.provide(InvitationService, InvitationService(ctx, members, ctx.settings(ProjectsSettings)))
        ctx.provide(ProjectService, service)
        ctx.provide(Projects, service)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        yield
