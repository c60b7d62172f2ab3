from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from studio import Actor, Estimate, PluginContext
from studio.testing import InMemoryDatabase
from studio.testing.kit import Services
from studio_stories.cast import CastService
from studio_stories.editing import EditingService
from studio_stories.jobs import BreakdownService
from studio_stories.plugin import COLLECTIONS
from studio_stories.service import StoryService
from studio_stories.settings import StoriesSettings

SCRIPT = """Title: Rain

INT. KITCHEN - NIGHT

Maya drops a cup. Rain on the window.

MAYA
Who is there?

TOM (O.S.)
(low)
Only me.

EXT. GARDEN - CONTINUOUS

Tom stands under the tree.

TOM
Let me in.
"""


@dataclass
class RecordingActivity:
    """Keeps what the services log."""

    entries: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def log_activity(self, project_id, actor, action, target=None, params=None, job_id=None):
        self.entries.append(
            (action, {"project_id": project_id, "target": target, "params": params, "job_id": job_id})
        )

    @property
    def actions(self) -> list[str]:
        return [action for action, _ in self.entries]


@dataclass
class RecordingJobs:
    """Takes orders and gives each a queued job, or refuses with `error`."""

    orders: list[Any] = field(default_factory=list)
    error: Exception | None = None

    async def submit(self, actor, order):
        if self.error:
            raise self.error
        self.orders.append(order)
        job = {
            "_id": f"JOB{len(self.orders)}",
            "state": "queued",
            "user_id": actor.user_id,
            "estimate_uusd": 0,
        }
        return job | {
            "input": order.input,
            "kind": order.kind,
            "project_id": order.project_id,
            "model": order.model,
        }


@dataclass
class Stage:
    """The services on an in-memory database."""

    database: InMemoryDatabase
    activity: RecordingActivity
    jobs: RecordingJobs
    ctx: PluginContext
    stories: StoryService
    editing: EditingService
    cast: CastService
    breakdown: BreakdownService
    actor: Actor = field(default_factory=lambda: Actor("U1"))

    async def create(self, text: str = SCRIPT, name: str = "rain.fountain"):
        return await self.stories.create_story(self.actor, "P1", text.encode(), name)


@pytest.fixture
def stage() -> Stage:
    database = InMemoryDatabase()
    database.declare([("stories", collection) for collection in COLLECTIONS])
    services = Services()
    services.database, services.activity, services.jobs = database, RecordingActivity(), RecordingJobs()
    bound = SimpleNamespace(
        estimate=lambda request: Estimate(cost_uusd=100 * len(request.scenes), note="per scene")
    )
    services.providers = SimpleNamespace(get=lambda capability, provider=None, model=None: bound)
    ctx = PluginContext("stories", services, StoriesSettings(), structlog.get_logger())
    stories = StoryService(ctx)
    return Stage(
        database,
        services.activity,
        services.jobs,
        ctx,
        stories,
        EditingService(stories),
        CastService(stories),
        BreakdownService(stories),
    )
