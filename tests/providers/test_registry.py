from __future__ import annotations

import asyncio
import sys
import types

import pytest

from studio.auth import Actor
from studio.dispatch import Dispatcher
from studio.errors import (
    BudgetExceededError,
    InvalidInputError,
    OutcomeUnknownError,
    ProviderError,
    ProviderUnavailableError,
)
from studio.jobs.contract import CostDecision
from studio.jobs.settings import JobsSettings
from studio.providers import limits, registry
from studio.providers.contract import Estimate, Generation, GenerationError, ModelSpec, ProviderSpec
from studio.providers.registry import Providers
from studio.providers.requests import GenerationRequest

pytestmark = pytest.mark.memory
ACTOR = Actor(user_id="ada")


class Vendor:
    script: list  # each test brings its own

    def __init__(self, ctx):
        self.ctx = ctx

    async def submit(self, request):
        return self._next()

    async def poll(self, provider_job_id):
        return self._next()

    def _next(self):
        found = self.script.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def estimate(self, request):
        return Estimate(cost_uusd=5)


class Owner:
    def __init__(self):
        self.calls = []
        self.decision = CostDecision(allowed=True)

    async def first(self, hook, payload):
        self.calls.append((hook, payload))
        return self.decision if hook == "hold_cost" else True


@pytest.fixture
def owner():
    return Owner()


@pytest.fixture
def build(monkeypatch, owner):
    module = types.ModuleType("fake_vendors")
    module.Vendor = type("Fresh", (Vendor,), {"script": []})
    monkeypatch.setitem(sys.modules, "fake_vendors", module)

    def build(*specs, **settings):
        providers = Providers(types.SimpleNamespace(jobs=JobsSettings(**settings)), owner)
        providers.register("vendors", "the context", specs)
        return providers

    build.script = module.Vendor.script
    return build


def spec(name, capability="image", target="fake_vendors:Vendor", **fields):
    return ProviderSpec(name, capability, target, **fields)


def test_nothing_is_imported_before_it_is_used(build):
    providers = build(spec("lazy", target="no_such_module_anywhere:Class"))
    assert providers.describe()[0]["available"]
    with pytest.raises(ProviderUnavailableError, match="no_such_module_anywhere"):
        providers.get("image")
    assert "ModuleNotFoundError" in providers.describe()[0]["reason"]


def test_provider_is_built_once_with_its_context(build):
    providers = build(spec("one"))
    assert providers.get("image") is providers.get("image", "one")
    assert providers.get("image")._target.ctx == "the context"


def test_files_of_a_provider_lie_on_the_hosts_of_all_its_capabilities_and_on_no_others(build):
    providers = build(
        spec("one", file_hosts=("cdn.one.example",)),
        spec("one", "video", file_hosts=("cdn.one.example", "*.one.media")),
        spec("two", file_hosts=("cdn.two.example",)),
    )
    assert providers.file_hosts("one") == ("cdn.one.example", "*.one.media")
    assert providers.file_hosts("nobody") == ()


def test_broken_provider_leaves_the_work_to_the_next(build):
    providers = build(spec("broken", target="sys:no_such_class", priority=1), spec("well", priority=2))
    assert providers.get("image").name == "well"


def test_missing_key_says_which_variable_to_set(build):
    providers = build(spec("paid", missing="set STUDIO_PAID__API_KEY"))
    with pytest.raises(ProviderUnavailableError, match="STUDIO_PAID__API_KEY"):
        providers.get("image", "paid")
    described = providers.describe()[0]
    assert (described["available"], described["reason"]) == (False, "set STUDIO_PAID__API_KEY")


def test_priority_decides_and_the_configuration_overrules_it(build):
    specs = [spec("a", priority=3), spec("b", priority=1), spec("c", priority=2)]
    assert build(*specs).get("image").name == "b"
    assert build(*specs, provider_order={"image": ["c"]}).get("image").name == "c"


def test_known_cheaper_price_decides_where_order_and_priority_do_not(build, monkeypatch):
    prices = {"a": None, "b": 9, "c": 4, "d": 1}
    specs = [
        spec(name, target=f"fake_vendors:{name}", priority=300 if name == "d" else 100) for name in prices
    ]
    for name, price in prices.items():
        estimate = staticmethod(lambda request, price=price: Estimate(cost_uusd=price))
        monkeypatch.setattr(
            sys.modules["fake_vendors"], name, type(name, (Vendor,), {"estimate": estimate}), raising=False
        )
    request = GenerationRequest(job_id="x")
    providers = build(*specs)
    assert providers.get("image", request=request).name == "c"
    assert providers.get("image", request=request, without=["c"]).name == "b"
    assert providers.get("image", request=request, without=["b", "c"]).name == "a"
    assert providers.get("image").name == "a"
    assert build(*specs, provider_order={"image": ["b"]}).get("image", request=request).name == "b"
    for _ in range(5):
        providers.get("image", "c").breaker.failure()
    assert providers.get("image", request=request).name == "b"


def test_price_that_cannot_be_said_comes_last(build, monkeypatch):
    def broken(request):
        raise KeyError(request)

    monkeypatch.setattr(
        sys.modules["fake_vendors"], "Bad", type("Bad", (Vendor,), {"estimate": broken}), raising=False
    )
    providers = build(spec("a", target="fake_vendors:Bad"), spec("b"), spec("c", target="no:Where"))
    assert providers.get("image", request=GenerationRequest(job_id="x")).name == "b"


def test_price_of_a_usage_is_the_declared_one(build):
    models = (ModelSpec("m1", "per_image", 4_000), ModelSpec("m2", "free"))
    providers = build(spec("a", models=models))
    bound = providers.get("image")
    assert bound.price("m1", {"images": 2}) == 8_000
    assert bound.price("m2", {}) == 0
    assert bound.price("m1", {"credits": 2}) is None
    assert bound.price(None, {"images": 2}) == 8_000  # a request without a name gets the first
    assert providers.price("image", "gone", "m1", {"images": 2}) is None


def test_provider_out_of_order_is_passed_over(build):
    providers = build(spec("first", priority=1), spec("second", priority=2))
    for _ in range(5):
        providers.get("image", "first").breaker.failure()
    assert providers.get("image").name == "second"
    assert providers.get("image", "first").name == "first"
    assert "out of order" in providers.describe()[0]["reason"]


def test_model_chooses_the_provider_that_has_it(build):
    providers = build(spec("a", priority=1, models=(ModelSpec("m1"),)), spec("b", models=(ModelSpec("m2"),)))
    assert providers.get("image", model="m2").name == "b"
    with pytest.raises(InvalidInputError, match=r"m1.*m2"):
        providers.get("image", model="m3")
    with pytest.raises(InvalidInputError, match="m1"):
        providers.get("image", "a", "m2")


def test_unknown_name_is_refused_with_a_choice(build):
    with pytest.raises(InvalidInputError, match="one"):
        build(spec("one")).get("image", "two")


def test_capability_that_nobody_offers_is_unavailable(build):
    with pytest.raises(ProviderUnavailableError, match="video"):
        build(spec("one")).get("video")


def test_description_carries_models_and_prices(build):
    models = (ModelSpec("m1", "per_image", 4_000, limits={"width": 2048}),)
    described = build(spec("a", models=models)).describe()[0]
    assert (described["capability"], described["provider"], described["plugin"]) == ("image", "a", "vendors")
    assert described["models"][0]["unit_price_uusd"] == 4_000


def test_limit_is_shared_by_the_capabilities_of_one_provider(build):
    providers = build(spec("a"), spec("a", capability="voice"), spec("b"))
    limits = [providers.get("image", "a")._limits, providers.get("voice", "a")._limits]
    assert limits[0] is limits[1]
    assert providers.get("image", "b")._limits is not limits[0]


async def test_preview_is_held_made_and_settled(build, owner):
    build.script += [Generation(provider_job_id="v", retry_after_s=0.001)]
    build.script += [Generation(provider_job_id="v", state="succeeded", data={"ok": 1}, cost_uusd=4)]
    request = GenerationRequest(job_id="preview-1")
    generation = await build(spec("a")).generate_now("image", request, ACTOR, "p1")
    assert generation.data == {"ok": 1}
    (_, hold), (_, settled) = owner.calls
    assert (hold.job_id, hold.project_id, hold.user_id, hold.amount_uusd) == ("preview-1", "p1", "ada", 5)
    assert (settled.kind, settled.amount_uusd, settled.source) == ("capture", 4, "reported")


async def test_refused_preview_calls_nobody(build, owner):
    owner.decision = None
    with pytest.raises(BudgetExceededError, match="owners"):
        await build(spec("a")).generate_now("image", GenerationRequest(job_id="x"), ACTOR, "p1")
    assert [hook for hook, _ in owner.calls] == ["hold_cost"]


async def test_preview_without_an_owner_of_cost_is_refused(build):
    providers = build(spec("a"))
    providers._dispatcher = Dispatcher({})
    with pytest.raises(BudgetExceededError, match="No owner"):
        await providers.generate_now("image", GenerationRequest(job_id="x"), ACTOR, "p1")


REFUSAL = GenerationError(code="nsfw", message="No nudity.")


@pytest.mark.parametrize(
    ("answer", "kind", "amount"),
    [
        (ProviderError("busy"), "release", None),
        (OutcomeUnknownError("?"), "capture", None),
        (Generation(provider_job_id="v", state="failed", error=REFUSAL), "release", None),
        (Generation(provider_job_id="v", state="failed", error=REFUSAL, cost_uusd=2), "capture", 2),
    ],
)
async def test_failed_preview_is_settled_by_what_was_sent(build, owner, answer, kind, amount):
    build.script.append(answer)
    with pytest.raises(ProviderError):
        await build(spec("a")).generate_now("image", GenerationRequest(job_id="x"), ACTOR, "p1")
    settled = owner.calls[-1][1]
    assert (settled.kind, settled.amount_uusd) == (kind, amount)


async def test_preview_that_takes_too_long_is_unknown(build, owner):
    build.script.append(Generation(provider_job_id="v", retry_after_s=60))
    with pytest.raises(OutcomeUnknownError):
        await build(spec("a", deadline_s=0.01)).generate_now(
            "image", GenerationRequest(job_id="x"), ACTOR, "p1"
        )
    assert owner.calls[-1][1].kind == "capture"


async def test_cancelled_preview_is_settled(build, owner):
    build.script.append(Generation(provider_job_id="v", retry_after_s=60))
    task = asyncio.create_task(
        build(spec("a")).generate_now("image", GenerationRequest(job_id="x"), ACTOR, "p1")
    )
    while not owner.calls or build.script:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert owner.calls[-1][0] == "settle_cost"


async def every_slot_taken(bound):
    """Take what calls of `bound` there may be at a time."""
    while not bound._limits._slots.locked():
        await bound._limits._slots.acquire()


async def test_preview_that_never_got_its_turn_is_released(build, owner, monkeypatch):
    monkeypatch.setattr(limits, "WAIT_S", 0.1)
    providers = build(spec("a", deadline_s=0.01))
    await every_slot_taken(providers.get("image"))
    async with asyncio.timeout(20):
        with pytest.raises(ProviderUnavailableError) as caught:
            await providers.generate_now("image", GenerationRequest(job_id="x"), ACTOR, "p1")
    assert caught.value.code == limits.BUSY
    assert owner.calls[-1][1].kind == "release"


async def test_preview_cancelled_before_its_turn_is_released(build, owner):
    providers = build(spec("a"))
    bound = providers.get("image")
    await every_slot_taken(bound)
    waiting = asyncio.create_task(providers.generate_now("image", GenerationRequest(job_id="x"), ACTOR, "p1"))
    while not bound._limits._slots._waiters:
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert owner.calls[-1][1].kind == "release"


async def test_wait_for_a_turn_is_no_part_of_the_deadline(build, owner):
    build.script.append(Generation(provider_job_id="v", retry_after_s=0.001))
    build.script.append(Generation(provider_job_id="v", state="succeeded", cost_uusd=4))
    providers = build(spec("a", deadline_s=0.5))
    bound = providers.get("image")
    await every_slot_taken(bound)
    asyncio.get_running_loop().call_later(0.6, bound._limits._slots.release)
    await providers.generate_now("image", GenerationRequest(job_id="x"), ACTOR, "p1")
    assert owner.calls[-1][1].amount_uusd == 4


@pytest.mark.parametrize(("away", "settled"), [(0, 1), (2, 3), (9, 4)])
async def test_owner_of_cost_who_is_away_is_told_again(build, owner, monkeypatch, away, settled):
    monkeypatch.setattr(registry, "SETTLE_AGAIN_S", (0, 0, 0))
    build.script.append(Generation(provider_job_id="v", state="succeeded", cost_uusd=4))
    answers = iter([False] * away)
    first = owner.first

    async def sometimes(hook, payload):
        said = await first(hook, payload)
        return next(answers, said) if hook == "settle_cost" else said

    monkeypatch.setattr(owner, "first", sometimes)
    await build(spec("a")).generate_now("image", GenerationRequest(job_id="x"), ACTOR, "p1")
    kinds = [payload.kind for hook, payload in owner.calls if hook == "settle_cost"]
    assert kinds == ["capture"] * settled
