"""Decisions, notifications and chains with hostile implementations, through the running platform."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from studio import Actor, CostHold
from studio.errors import BudgetExceededError, PluginError, UnavailableError
from studio.jobs.cost import hold_cost, settle_cost

pytestmark = pytest.mark.http
OTHER = """
@hookimpl
def register_permissions(self, ctx):
    return [Permission("thing:do", "Do", "platform")]
@hookimpl
def register_routes(self, ctx):
    return [Route("GET", "/api/secret", handle, "thing:do", returns=Hello)]
"""
HANDLE = "async def handle(request):\n    return Hello(text='secret')\n"
WAYS = {
    "raises": "raise RuntimeError('broken')",
    "exits": "sys.exit(1)",
    "hangs": "await asyncio.Event().wait()",
    "none": "return None",
}


GOOD = {
    "authenticate": ("credentials", "return Actor('root', platform_role='admin')"),
    "authorize": ("query", "return Decision(allowed=True)"),
    "hold_cost": ("hold", "return CostDecision(allowed=True)"),
}


def owner(door, hook, way):
    """Install an owner whose every answer is yes but for one hook."""
    lines = [
        f"@hookimpl\nasync def {name}(self, ctx, {given}):\n    {WAYS[way] if name == hook else answer}"
        for name, (given, answer) in GOOD.items()
    ]
    door.plugin("root", "\n".join(lines))


def quick(studio):
    studio.dispatcher._deadline_s = 0.05
    return studio


@pytest.mark.parametrize(
    ("hook", "way", "status"),
    [
        ("authenticate", "raises", 503),
        ("authenticate", "exits", 503),
        ("authenticate", "hangs", 503),
        ("authenticate", "none", 401),
        ("authorize", "raises", 503),
        ("authorize", "exits", 503),
        ("authorize", "hangs", 503),
        ("authorize", "none", 403),
    ],
)
async def test_a_broken_owner_of_a_decision_means_no(door, hook, way, status):
    owner(door, hook, way)
    door.plugin("other", OTHER, before=HANDLE, prefixes=["/api/secret"])
    async with door.open(quick(door.studio())) as house:
        answer, problem = await house.get("/api/secret")
        assert answer == status
        assert "secret" not in str(problem)
        assert (await house.get("/healthz", root=False))[0] == 200


@pytest.mark.parametrize(("decision", "status"), [("AUTHENTICATE", 401), ("AUTHORIZE", 403)])
async def test_an_owner_that_is_not_there_means_no(door, decision, status):
    door.company()
    door.plugin("other", OTHER, before=HANDLE, prefixes=["/api/secret"])
    async with door.open(**{f"STUDIO_OWNERS__{decision}": "nobody"}) as house:
        assert (await house.get("/api/secret"))[0] == status


async def test_only_the_configured_owner_is_asked(door):
    door.company()
    usurper = "@hookimpl\nasync def authenticate(self, ctx, credentials):\n    return Actor('me')"
    door.plugin("a_usurper", usurper)
    async with door.open() as house:
        assert (await house.get("/api/plugins", root=False))[0] == 401
        assert (await house.get("/api/plugins"))[0] == 200


@pytest.mark.parametrize(
    ("way", "error"),
    [
        ("raises", UnavailableError),
        ("exits", UnavailableError),
        ("none", BudgetExceededError),
        (None, BudgetExceededError),
    ],
)
async def test_no_answer_of_the_cost_owner_holds_no_money(door, way, error):
    if way:
        owner(door, "hold_cost", way)
    else:
        door.plugin("root")
    async with door.open(quick(door.studio())) as house:
        with pytest.raises(error):
            await hold_cost(house.studio.dispatcher, CostHold("j", 1, "p", "u", "local", None, 1))
        assert await settle_cost(house.studio.dispatcher, None) is False


LISTENER = "@hookimpl\nasync def job_changed(self, ctx, job):\n"


async def told(house, times=1):
    for _ in range(times):
        house.studio.dispatcher.notify("job_changed", {"_id": "j"})
        await house.studio.dispatcher.drain()


@pytest.mark.parametrize("way", ["raises", "exits", "hangs"])
async def test_a_listener_that_always_fails_is_switched_off_after_three_and_the_others_hear_everything(
    door, way
):
    door.company()
    door.plugin("bad", f"calls = 0\n{LISTENER}    type(self).calls += 1\n    {WAYS[way]}")
    door.plugin("zgood", f"heard = 0\n{LISTENER}    type(self).heard += 1")
    async with door.open(quick(door.studio())) as house:
        with capture_logs() as lines:
            await told(house, 6)
        records = house.studio.loader.records
        assert (records["bad"].plugin.calls, records["zgood"].plugin.heard) == (3, 6)
        failures = [line for line in lines if line["event"] == "hook_failed"]
        assert [line["switched_off"] for line in failures] == [False, False, True]
        assert {line["plugin"] for line in failures} == {"bad"}
        bad = await house.plugin("bad")
        assert (bad["state"], bad["hooksOff"]) == ("ready", ["job_changed"])
        assert (await house.plugin("zgood"))["hooksOff"] == []


async def test_failures_far_apart_switch_nothing_off(door, monkeypatch):
    door.plugin("bad", f"{LISTENER}    raise RuntimeError('now and then')")
    now = [1000.0]
    async with door.open() as house:
        monkeypatch.setattr("studio.dispatch.time.monotonic", lambda: now[0])
        for _ in range(5):
            await told(house)
            now[0] += 31
        assert house.studio.dispatcher.switched_off("bad") == []
        await told(house, 2)
        assert house.studio.dispatcher.switched_off("bad") == ["job_changed"]


async def test_telling_waits_for_nobody_and_a_slow_listener_is_cut_at_the_deadline(door):
    door.plugin(
        "slow",
        f"ended = None\n{LISTENER}"
        """
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        type(self).ended = 'cut'
        raise
""",
    )
    async with door.open(quick(door.studio())) as house:
        plugin = house.studio.loader.records["slow"].plugin
        house.studio.dispatcher.notify("job_changed", {})
        assert plugin.ended is None
        async with asyncio.timeout(15):
            await house.studio.dispatcher.drain()
        assert plugin.ended == "cut"


async def test_a_notification_may_take_two_seconds_when_nothing_else_is_said(door):
    door.company()
    assert door.studio().dispatcher._deadline_s == 2.0


async def test_what_a_listener_does_to_its_copy_nobody_else_sees(door):
    door.plugin("a_vandal", f"{LISTENER}    job.clear()")
    door.plugin("z_reader", f"seen = None\n{LISTENER}    type(self).seen = dict(job)")
    job = {"_id": "j", "state": "queued"}
    async with door.open() as house:
        house.studio.dispatcher.notify("job_changed", job)
        await house.studio.dispatcher.drain()
        assert house.studio.loader.records["z_reader"].plugin.seen == job == {"_id": "j", "state": "queued"}


async def test_a_stop_tells_the_listeners_what_was_logged_before_they_stop(door):
    body = """
        heard = ()
        alive = False
        @hookimpl
        def register_activities(self, ctx):
            return [ActivityAction('thing.done', 'did it')]
        @hookimpl
        async def activity_recorded(self, ctx, activity):
            type(self).heard += (activity['action'], self.alive)
        @hookimpl
        @asynccontextmanager
        async def lifespan(self, ctx):
            type(self).alive = True
            yield
            type(self).alive = False
            ctx.activity.log_activity('p', SYSTEM, 'thing.done')
    """
    door.plugin("scribe", body)
    async with door.open() as house:
        house.studio.services.activity.log_activity("p", Actor("u"), "thing.done")
        studio = house.studio
    assert studio.loader.records["scribe"].plugin.heard == ("thing.done", True)
    assert await studio.services.database["projectActivities"].count({}) == 2


CHAIN = "@hookimpl\nasync def finalize_asset(self, ctx, asset):\n"


async def test_a_chain_runs_in_order_and_each_step_sees_what_the_earlier_ones_added(door):
    door.plugin("a_first", f"{CHAIN}    return {{'steps': [*asset.get('steps', ()), 'first']}}")
    door.plugin("b_none", f"{CHAIN}    return None")
    door.plugin("c_last", f"{CHAIN}    return {{'steps': [*asset['steps'], 'last'], 'moderated': True}}")
    async with door.open() as house:
        asset = await house.studio.services.finalize({"_id": "a"})
    assert asset == {"_id": "a", "steps": ["first", "last"], "moderated": True}


async def test_a_chain_is_kept_between_two_steps_and_goes_on_behind_those_that_ran(door):
    for name in ("a_first", "c_third", "d_last"):
        door.plugin(name, f"{CHAIN}    return {{'steps': [*asset.get('steps', ()), '{name}']}}")
    door.plugin("b_none", f"{CHAIN}    return None")
    kept = []

    async def keep(plugin, asset):
        kept.append((plugin, list(asset["steps"])))

    async with door.open() as house:
        finalize = house.studio.services.finalize
        await finalize({"_id": "a"}, kept=keep)
        assert kept == [("a_first", ["a_first"]), ("c_third", ["a_first", "c_third"])]
        resumed = await finalize({"_id": "a", "steps": ["a_first"]}, done={"a_first"}, kept=keep)
    assert resumed["steps"] == ["a_first", "c_third", "d_last"]


@pytest.mark.parametrize(
    ("way", "error"), [("raises", RuntimeError), ("exits", PluginError), ("hangs", TimeoutError)]
)
async def test_a_chain_fails_closed_when_a_step_fails(door, way, error):
    door.plugin("moderator", f"{CHAIN}    {WAYS[way]}")
    studio = door.studio()
    async with door.open(studio) as house:
        studio.dispatcher._deadline_s = 0.01
        with pytest.raises(error):
            await house.studio.services.finalize({"_id": "a"})


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (CHAIN.replace("async def", "def") + "    return {}", "is not `async def`, and must be"),
        (CHAIN + "    return 'seen'", "returned a str, no dict or None"),
    ],
)
async def test_a_step_that_gives_the_wrong_thing_is_named(door, step, reason):
    door.plugin("moderator", step)
    async with door.open() as house:
        with pytest.raises(PluginError, match="finalize_asset of 'moderator' " + reason):
            await house.studio.services.finalize({"_id": "a"})


async def test_the_trace_switch_names_each_hook_plugin_and_kind_of_payload_and_shows_no_payload(
    door, monkeypatch
):
    monkeypatch.setenv("STUDIO_TRACE_HOOKS", "1")
    door.company()
    studio = door.studio()
    with capture_logs() as lines:
        async with door.open(studio) as house:
            await house.get("/api/plugins")
    traced = {(line["hook"], line["plugin"], line["payload"]) for line in lines if line["event"] == "hook"}
    assert ("authenticate", "root", "Credentials") in traced
    assert ("authorize", "root", "AccessQuery") in traced
    assert "Bearer" not in str(lines)


async def test_nothing_is_traced_without_the_switch(door):
    door.company()
    studio = door.studio()
    with capture_logs() as lines:
        async with door.open(studio) as house:
            await house.get("/api/plugins")
    assert not [line for line in lines if line["event"] == "hook"]


async def test_background_hanging_notifications_do_not_slow_a_request(door):
    door.company()
    door.plugin(
        "slow", f"gate = asyncio.Event()\nleft = 0\n{LISTENER}    await self.gate.wait()\n    self.left += 1"
    )
    studio = door.studio()
    studio.dispatcher._deadline_s = 60
    async with door.open(studio) as house:
        plugin = house.studio.loader.records["slow"].plugin
        for _ in range(50):
            house.studio.dispatcher.notify("job_changed", {})
        assert (await house.get("/api/good"))[0] == 200
        assert plugin.left == 0
        plugin.gate.set()
        await house.studio.dispatcher.drain()
        assert plugin.left == 50
