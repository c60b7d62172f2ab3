"""The conformance kit: what a provider promises, checked against a fake of its vendor.

An author describes the provider once as a `ProviderCase` and runs one suite::

    class TestMine(ProviderConformance):
        case = MyCase()

`docs/how-to/write-a-provider.md` shows a whole one. `make test-conformance` prints the table of all of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import pytest

from studio.testing.conformance_calls import WebhookConformance
from studio.testing.conformance_faults import FaultConformance
from studio.testing.conformance_work import WorkConformance
from studio.testing.conformance_world import World
from studio.testing.vendor import FakeVendor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from aiohttp import web
    from pydantic import BaseModel

    from studio.hooks import StudioHooks
    from studio.providers.requests import GenerationRequest
    from studio.providers.services import WebhookCall

__all__ = ["NoVendor", "Outcome", "ProviderCase", "ProviderConformance"]

Outcome = Literal["succeeded", "running", "failed", "refused", "unusable"]
"""How the vendor's work ends: "refused" by moderation; "unusable": the vendor says it is done, without a result."""


class NoVendor(FakeVendor):
    """For providers that call nobody."""

    def routes(self) -> Iterable[web.RouteDef]:
        """Return no routes."""
        return []


class ProviderCase:
    """What the suite has to know of one provider and one of its capabilities. Subclass it."""

    plugin: ClassVar[type[StudioHooks]]
    """The plugin's class."""
    capability: ClassVar[str]
    provider: ClassVar[str | None] = None
    """The provider's name, where the plugin offers several of this capability."""
    submit_method: ClassVar[str] = "POST"
    submit_path: ClassVar[str] = ""
    """An expression for the paths of the calls that start work, and of no others: "/v1/jobs$"."""
    poll_path: ClassVar[str] = ""
    """The same for the calls that ask how it goes; empty when the vendor answers `submit` with the result."""
    deadline_s: ClassVar[float] = 1.0
    """How long one call may take with these settings: choose it short."""
    memory_mb: ClassVar[int] = 32
    """What a huge answer may cost at most."""
    not_applicable: ClassVar[Mapping[str, str]] = {}
    """Cases that cannot exist for this vendor, by the name in the table, each with its reason."""

    folder: Path = Path()
    """A folder of this test's own, for input files and a working directory."""

    def vendor(self) -> FakeVendor:
        """Return a fresh fake of the vendor."""
        return NoVendor()

    def settings(self, vendor: FakeVendor) -> BaseModel:
        """Return the plugin's settings for `vendor.url`, with a key, a webhook secret and short deadlines."""
        raise NotImplementedError

    def without_key(self) -> BaseModel | None:
        """Return settings without a key; None: it needs none."""
        return None

    def request(self, outcome: Outcome) -> GenerationRequest:
        """Return a small request; one that must end in `outcome` where the request decides that."""
        raise NotImplementedError

    def end(self, vendor: FakeVendor, provider_job_id: str, outcome: Outcome) -> None:
        """Let the vendor's job end so; without `poll_path` it is called before `submit`, with an empty id."""

    def webhook(
        self,
        vendor: FakeVendor,
        provider_job_id: str,
        outcome: Outcome,
        *,
        forged: bool = False,
        age_s: float = 0.0,
    ) -> WebhookCall | None:
        """Return the vendor's signed call about a job, the same delivery each time; None: it never says this.

        `forged` signs it with a secret that is not ours, `age_s` seconds ago.
        """
        raise NotImplementedError


class ProviderConformance(FaultConformance, WebhookConformance, WorkConformance):
    """The suite. Name the case as `case = MyCase()`, or override the fixture `case_of` where it takes fixtures."""

    case: ClassVar[ProviderCase]

    @pytest.fixture
    def case_of(self) -> ProviderCase:
        """Return the case."""
        return type(self).case

    @pytest.fixture
    async def world(
        self,
        case_of: ProviderCase,
        tmp_path: Path,
        request: pytest.FixtureRequest,
        monkeypatch: pytest.MonkeyPatch,
    ) -> AsyncIterator[World]:
        """Yield the provider in a world of its own, or skip what cannot exist for it."""
        name = request.node.name.removeprefix("test_")
        plain = name.partition("[")[0]
        reason = case_of.not_applicable.get(name) or case_of.not_applicable.get(plain)
        if reason is not None:
            pytest.skip(f"n/a: {reason}")
        monkeypatch.setattr("studio.http_call.BACKOFF_S", 0.001)
        vendor = case_of.vendor()
        async with vendor.serving(), World(case_of, vendor, tmp_path).running() as world:
            yield world

    @pytest.fixture
    def polled(self, world: World) -> World:
        """Return the world of a provider whose vendor is asked how it goes."""
        if not world.case.poll_path:
            pytest.skip("n/a: it answers at once")
        return world

    @pytest.fixture
    def called(self, world: World) -> World:
        """Return the world of a provider whose vendor calls back."""
        if not world.bound.spec.webhooks:
            pytest.skip("n/a: it has no webhooks")
        return world
