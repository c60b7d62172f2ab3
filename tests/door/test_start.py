from __future__ import annotations

import asyncio
from textwrap import dedent

import pytest
from structlog.testing import capture_logs

from studio.app import running
from studio.dispatch import HOOKS
from studio.plugins.loader import PluginStartError

pytestmark = pytest.mark.http

LIFESPAN = "@hookimpl\n@asynccontextmanager\nasync def lifespan(self, ctx):\n"
BREAKS = {
    "raises": ("    raise RuntimeError('no licence')\n    yield", "RuntimeError: no licence"),
    "exits": ("    sys.exit(4)\n    yield", "it called sys.exit(4)"),
    "hangs": (
        "    await asyncio.Event().wait()\n    yield",
        "did not end within 0.3 s (plugins.start_deadline_s)",
    ),
    "cancels": ("    raise asyncio.CancelledError\n    yield", "cancelled"),
    "never_yields": ("    if ctx is None:\n        yield", "didn't yield"),
}
EVERYTHING = """
    @hookimpl
    def register_routes(self, ctx):
        return [Route("GET", "/api/bad", handle, PUBLIC, returns=Hello)]
    @hookimpl
    def register_permissions(self, ctx):
        return [Permission("bad:do", "Do")]
    @hookimpl
    def register_collections(self, ctx):
        return [Collection("bads")]
    @hookimpl
    def register_providers(self, ctx):
        return [ProviderSpec("bad", "music", "nowhere:Class")]
    @hookimpl
    def register_jobs(self, ctx):
        return [JobKind("bad.make", "Make", "music", handle, handle)]
    @hookimpl
    def register_events(self, ctx):
        return [Event("bad.done", "Done")]
    @hookimpl
    def register_activities(self, ctx):
        return [ActivityAction("bad.done", "did")]
    @hookimpl
    def register_health_checks(self, ctx):
        return [HealthCheck("bad", healthy)]
    @hookimpl
    async def job_changed(self, ctx, job):
        raise RuntimeError
    @hookimpl
    def realtime_backends(self, ctx):
        return [object()]
"""
HANDLE = "async def handle(request):\n    return Hello(text='bad')\nasync def healthy():\n    return 'well'\n"


def stubborn(door, how, name="bad", manifest=""):
    body = LIFESPAN + "    ctx.provide(dict, {})\n" + BREAKS[how][0]
    door.plugin(
        name, f"{dedent(EVERYTHING)}\n{body}", before=HANDLE, prefixes=["/api/bad"], manifest=manifest
    )


@pytest.mark.parametrize("how", sorted(BREAKS))
async def test_a_start_that_fails_costs_only_its_plugin_and_leaves_nothing_behind(door, how):
    door.company()
    door.names.append("openapi")
    stubborn(door, how)
    deadline_s = "0.3" if how == "hangs" else "20"
    async with door.open(STUDIO_PLUGINS__START_DEADLINE_S=deadline_s, STUDIO_PLUGINS__WARN_S="0.1") as house:
        bad = await house.plugin("bad")
        assert (bad["state"], bad["phase"]) == ("failed", "start")
        assert BREAKS[how][1] in bad["error"]
        assert bad["timingsMs"]["start"] > 0
        status, problem = await house.get("/api/bad")
        assert (status, problem["code"], problem["plugin"]) == (503, "plugin_unavailable", "bad")
        assert (await house.get("/api/bad/below/it"))[0] == 503
        for path in (
            "/healthz",
            "/readyz",
            "/api/good",
            "/api/openapi.json",
            "/api/capabilities",
            "/metrics",
        ):
            if path != "/metrics":
                assert (await house.get(path))[0] == 200, path
        services = house.studio.services
        assert "bad" not in house.studio.registry.plugins
        assert "bad:do" not in services.permissions
        assert "bad.done" not in services.realtime.events
        assert "bad.done" not in services.activity.actions
        assert not any(entry["plugin"] == "bad" for entry in services.providers.describe())
        assert "bads" not in house.studio.registry.index("collections")
        assert dict not in services.provided
        assert services.realtime.transports == []
        assert "bad" not in (await house.get("/readyz"))[1]["checks"]
        assert "/api/bad" not in (await house.get("/api/openapi.json"))[1]["paths"]
        assert all(i.plugin != "bad" for name in HOOKS for i in house.studio.dispatcher.implementations(name))


async def test_what_requires_a_plugin_that_failed_to_start_is_blocked_and_answers_503(door):
    door.company()
    stubborn(door, "raises", name="base")
    body = """
        @hookimpl
        def register_routes(self, ctx):
            return [Route("GET", "/api/top", handle, PUBLIC, returns=Hello)]
    """
    door.plugin("top", body, before=HANDLE, prefixes=["/api/top"], manifest=", requires=('base',)")
    async with door.open() as house:
        top = await house.plugin("top")
        assert (top["state"], top["error"]) == ("blocked", "it requires base (failed)")
        status, problem = await house.get("/api/top")
        assert (status, problem["reason"]) == (503, "blocked")


async def test_a_plugin_that_is_off_answers_404_and_one_that_failed_503_even_under_a_shared_prefix(door):
    door.company()
    for name, before in (("zoff", ""), ("broken", "raise RuntimeError('no')")):
        door.plugin(name, before=before, prefixes=["/api/shared", f"/api/{name}"])
    door.names.remove("zoff")
    async with door.open() as house:
        status, problem = await house.get("/api/zoff/things")
        assert (status, problem["code"], problem["plugin"]) == (404, "plugin_off", "zoff")
        assert (await house.get("/api/broken"))[0] == 503
        assert (await house.get("/api/shared"))[0] == 503
        assert (await house.get("/api/brokenly"))[1]["code"] == "not_found"


async def test_retry_repeats_the_lifespan_only_and_the_plugin_is_ready(door):
    body = """
        tries = registered = 0
        @hookimpl
        def register_events(self, ctx):
            type(self).registered += 1
            return ()
        @hookimpl
        @asynccontextmanager
        async def lifespan(self, ctx):
            type(self).tries += 1
            if self.tries < 3:
                raise ConnectionError('not yet')
            yield
    """
    door.company()
    door.plugin("shy", body)
    async with door.open(STUDIO_PLUGINS__ON_FAILURE='{"shy": "retry"}') as house:
        assert (await house.plugin("shy"))["state"] == "ready"
        plugin = house.studio.loader.records["shy"].plugin
        assert (plugin.tries, plugin.registered) == (3, 1)


async def test_all_tries_share_one_deadline(door):
    door.company()
    door.plugin(
        "bad", f"tries = 0\n{LIFESPAN}    type(self).tries += 1\n    await asyncio.Event().wait()\n    yield"
    )
    policy = {"STUDIO_PLUGINS__ON_FAILURE": '{"bad": "retry"}', "STUDIO_PLUGINS__START_DEADLINE_S": "0.3"}
    async with door.open(**policy) as house:
        assert (await house.plugin("bad"))["state"] == "failed"
        assert house.studio.loader.records["bad"].plugin.tries == 1


async def test_the_policy_fail_ends_the_start_and_stops_who_had_started(door):
    stubborn(door, "raises")
    module = door.plugin(
        "calm", LIFESPAN + "    LIFE.append('in')\n    yield\n    LIFE.append('out')", before="LIFE = []"
    )
    studio = door.studio(STUDIO_PLUGINS__ON_FAILURE='{"bad": "fail"}')
    with pytest.raises(PluginStartError, match=r"plugin 'bad' failed in start: RuntimeError: no licence"):
        async with running(studio):
            pytest.fail("it started")
    import sys

    assert sys.modules[module].LIFE == ["in", "out"]


async def test_a_required_plugin_that_fails_ends_the_start(door):
    stubborn(door, "raises", manifest=", required=True")
    with pytest.raises(PluginStartError, match="bad"):
        async with running(door.studio()):
            pytest.fail("it started")


async def test_a_slow_start_is_logged_and_waited_for(door):
    door.plugin("slow", LIFESPAN + "    await asyncio.sleep(0.2)\n    yield")
    studio = door.studio(STUDIO_PLUGINS__WARN_S="0.05")
    with capture_logs() as lines:
        async with running(studio):
            assert str(studio.loader.records["slow"].state) == "ready"
    assert [line["plugin"] for line in lines if line["event"] == "plugin_slow_start"] == ["slow"]


async def test_a_start_that_ignores_its_cancellation_is_abandoned(door):
    body = (
        LIFESPAN
        + """
    while not self.over:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            pass
    yield
"""
    )
    door.company()
    door.plugin("deaf", "over = False\n" + body)
    async with door.open(STUDIO_PLUGINS__START_DEADLINE_S="0.2") as house:
        assert (await house.plugin("deaf"))["state"] == "failed"
        assert (await house.get("/api/good"))[0] == 200
        house.studio.loader.records["deaf"].plugin.over = True
        await asyncio.sleep(0.05)


MIGRATION = """
    @hookimpl
    def register_migrations(self, ctx):
        return [Migration(1, "Change", change)]
"""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("raise RuntimeError('half way')", "RuntimeError: half way"),
        ("await asyncio.Event().wait()", "its migrate did not end within 0.4 s"),
    ],
)
async def test_a_migration_that_fails_costs_only_its_plugin(door, change, reason):
    door.company()
    door.plugin("bad", MIGRATION, before=f"async def change(database):\n    {change}", prefixes=["/api/bad"])
    async with door.open(STUDIO_PLUGINS__START_DEADLINE_S="0.4") as house:
        bad = await house.plugin("bad")
        assert (bad["state"], bad["phase"]) == ("failed", "migrate")
        assert reason in bad["error"]
        assert (await house.get("/api/good"))[0] == 200


async def test_migrations_run_before_the_lifespan(door):
    before = "DONE = []\nasync def change(database):\n    DONE.append('migrated')"
    body = dedent(MIGRATION) + LIFESPAN + "    DONE.append('started')\n    yield"
    module = door.plugin("new", body, before=before)
    async with running(door.studio()):
        import sys

        assert sys.modules[module].DONE == ["migrated", "started"]


@pytest.mark.parametrize("hook", ["realtime_backends", "job_backend"])
async def test_a_backend_hook_that_raises_stops_its_plugin_again(door, hook):
    door.company()
    body = f"""
        life = []
        @hookimpl
        def {hook}(self, ctx):
            raise RuntimeError('no engine')
        @hookimpl
        @asynccontextmanager
        async def lifespan(self, ctx):
            yield
            self.life.append('out')
    """
    door.plugin("bad", body)
    async with door.open() as house:
        bad = await house.plugin("bad")
        assert (bad["state"], bad["phase"]) == ("failed", "wire")
        assert bad["error"] == f"{hook}: RuntimeError: no engine"
        assert house.studio.loader.records["bad"].plugin.life == ["out"]


async def test_a_job_backend_that_is_none_costs_only_its_plugin(door):
    door.company()
    door.plugin("bad", "@hookimpl\ndef job_backend(self, ctx):\n    return 42")
    async with door.open() as house:
        bad = await house.plugin("bad")
        assert (bad["state"], bad["phase"]) == ("failed", "wire")
        assert bad["error"] == "job_backend: returned a int, expected JobBackend"
        assert (await house.get("/api/good"))[0] == 200


async def test_a_cache_backend_that_fails_leaves_a_platform_without_cache(door):
    door.company()
    door.plugin("bad", "@hookimpl\ndef cache_backend(self, ctx):\n    raise RuntimeError('no server')")
    async with door.open() as house:
        assert house.studio.services.cache.url is None
        assert (await house.get("/readyz"))[0] == 200


async def test_plugins_stop_in_the_reverse_of_their_start(door):
    body = LIFESPAN + "    ORDER.append('+' + ctx.name)\n    yield\n    ORDER.append('-' + ctx.name)"
    shared = door.module("shared", "ORDER = []\n")
    before = f"from {shared} import ORDER"
    door.plugin("a_top", body, before=before, manifest=", requires=('m_middle',)")
    door.plugin("m_middle", body, before=before, manifest=", after=('z_base',)")
    door.plugin("z_base", body, before=before)
    import importlib

    async with running(door.studio()):
        pass
    order = importlib.import_module(shared).ORDER
    assert order == ["+z_base", "+m_middle", "+a_top", "-a_top", "-m_middle", "-z_base"]


@pytest.mark.parametrize(
    "end", ["raise RuntimeError('at the end')", "sys.exit(9)", "await asyncio.Event().wait()"]
)
async def test_a_stop_that_fails_does_not_keep_the_others_from_stopping(door, end):
    door.plugin("bad", f"{LIFESPAN}    yield\n    {end}", manifest=", requires=('calm',)")
    door.plugin("calm", "out = False\n" + LIFESPAN + "    yield\n    type(self).out = True")
    studio = door.studio(STUDIO_SERVER__SHUTDOWN_S="0.8")
    with capture_logs() as lines:
        async with asyncio.timeout(15), running(studio):
            pass
    assert studio.loader.records["calm"].plugin.out
    assert [line["plugin"] for line in lines if line["event"] == "plugin_stop_failed"] == ["bad"]


async def test_background_tasks_are_cancelled_at_the_stop_and_their_failures_logged(door):
    body = """
        ended = False
        async def forever(self):
            try:
                await asyncio.Event().wait()
            finally:
                type(self).ended = True
        async def fails(self):
            raise ZeroDivisionError('in the background')
        async def leaves(self):
            sys.exit(5)
        @hookimpl
        @asynccontextmanager
        async def lifespan(self, ctx):
            ctx.spawn(self.forever(), 'forever')
            ctx.spawn(self.fails(), 'fails')
            ctx.spawn(self.leaves(), 'leaves')
            await asyncio.sleep(0)
            yield
            ctx.spawn(self.forever(), 'never begun')
    """
    door.plugin("busy", body)
    studio = door.studio()
    with capture_logs() as lines:
        async with running(studio):
            await asyncio.sleep(0.01)
            assert not studio.loader.records["busy"].plugin.ended
    assert studio.loader.records["busy"].plugin.ended
    failed = {
        line["task"]: str(line["exc_info"]) for line in lines if line["event"] == "background_task_failed"
    }
    assert failed == {"busy:fails": "in the background", "busy:leaves": "it called sys.exit(5)"}


async def test_two_plugins_that_provide_the_same_kind_are_both_named(door):
    for name in ("one", "two"):
        door.plugin(
            name,
            LIFESPAN + "    ctx.provide(dict, {})\n    yield",
            manifest=", after=('one',)" * (name == "two"),
        )
    studio = door.studio()
    async with running(studio):
        error = studio.loader.records["two"].error
    assert "'one'" in error
    assert "'two'" in error
