from __future__ import annotations

import pytest

from studio.cli.inspect import check
from studio.dispatch import HOOKS
from studio.plugins.registry import TYPES, Declared

pytestmark = pytest.mark.pure
REGISTRATION = sorted(name for name in HOOKS if name.startswith("register_"))


def test_every_registration_hook_has_a_place_in_the_registry():
    assert sorted(f"register_{kind}" for kind in Declared.__slots__) == REGISTRATION


@pytest.mark.parametrize("hook", REGISTRATION)
def test_a_registration_hook_that_raises_is_named_and_leaves_nothing(door, hook):
    door.company()
    door.plugin("bad", f"@hookimpl\ndef {hook}(self, ctx):\n    raise ZeroDivisionError('oops')")
    studio = door.studio()
    bad = studio.loader.records["bad"]
    assert (str(bad.state), bad.phase) == ("failed", "register")
    assert bad.error == f"{hook}: ZeroDivisionError: oops"
    assert "bad" not in studio.registry.plugins
    assert all(i.plugin != "bad" for name in HOOKS for i in studio.dispatcher.implementations(name))
    assert studio.loader.records["good"].alive


@pytest.mark.parametrize("hook", REGISTRATION)
def test_a_registration_hook_that_exits_is_named(door, hook):
    door.plugin("bad", f"@hookimpl\ndef {hook}(self, ctx):\n    yield\n    sys.exit(1)")
    assert hook in door.reason("bad")[2]


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_a_wrong_object_is_refused_at_the_door(door, kind):
    door.plugin("bad", f"@hookimpl\ndef register_{kind}(self, ctx):\n    return [42]")
    state, phase, error = door.reason("bad")
    assert (state, phase) == ("failed", "register")
    assert error.startswith(f"register_{kind}: returned a int, expected ")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("'v', 'image', 'a:B', models=('m1',)", "models are ModelSpec objects"),
        ("'v', 'image', 'a.B'", 'target is "package.module:Class"'),
        ("'v', 'image', int", "target is"),
    ],
)
def test_a_provider_that_would_break_the_list_of_all_providers_is_refused(door, spec, reason):
    door.plugin("bad", f"@hookimpl\ndef register_providers(self, ctx):\n    return [ProviderSpec({spec})]")
    state, phase, error = door.reason("bad")
    assert (state, phase) == ("failed", "register")
    assert error.startswith("register_providers: TypeError: target")
    assert reason in error


def test_an_answer_that_is_no_list_is_refused(door):
    door.plugin("bad", "@hookimpl\ndef register_routes(self, ctx):\n    return 42")
    assert door.reason("bad")[2] == "register_routes: TypeError: 'int' object is not iterable"


DUPLICATES = {
    "routes": "Route('GET', '/api/one', handle, PUBLIC, returns=Hello)",
    "permissions": "Permission('thing:read', 'Read')",
    "collections": "Collection('things')",
    "events": "Event('thing.done', 'Done')",
    "activities": "ActivityAction('thing.done', 'done')",
    "providers": "ProviderSpec('vendor', 'music', 'nowhere:Class')",
    "jobs": "JobKind('thing.make', 'Make', 'image', handle, handle)",
    "health_checks": "HealthCheck('thing', handle)",
}


@pytest.mark.parametrize("kind", sorted(DUPLICATES))
def test_a_duplicate_is_refused_and_both_owners_are_named(door, kind):
    body = f"@hookimpl\ndef register_{kind}(self, ctx):\n    return [{DUPLICATES[kind]}]"
    before = "async def handle(request):\n    return None"
    for name in ("one", "two"):
        door.plugin(name, body, before=before, prefixes=["/api/one"])
    studio = door.studio()
    assert studio.loader.records["one"].alive
    error = studio.loader.records["two"].error
    assert "'one'" in error
    assert "'two'" in error


def test_the_same_address_with_another_parameter_name_is_a_duplicate(door):
    for name, parameter in (("one", "a"), ("two", "b")):
        body = f"""
            @hookimpl
            def register_routes(self, ctx):
                return [Route('GET', '/api/one/{{{parameter}}}', handle, PUBLIC, returns=Hello)]
        """
        door.plugin(name, body, before="async def handle(request):\n    pass", prefixes=["/api/one"])
    assert "'one'" in door.reason("two")[2]


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("routes", "Route('GET', '/healthz', handle, PUBLIC, returns=Hello)"),
        ("permissions", "Permission('platform:operate', 'Mine')"),
        ("collections", "Collection('jobs')"),
        ("collections", "Collection('plugin_state')"),
        ("health_checks", "HealthCheck('database', handle)"),
    ],
)
def test_what_the_kernel_owns_cannot_be_taken(door, kind, what):
    before = "async def handle(request):\n    return None"
    door.plugin("thief", f"@hookimpl\ndef register_{kind}(self, ctx):\n    return [{what}]", before=before)
    state, _, error = door.reason("thief")
    assert state == "failed"
    assert "'studio'" in error


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("@hookimpl\ndef register_rutes(self, ctx):\n    return []", "did you mean register_routes?"),
        ("def register_routes(self, ctx):\n    return []", "register_routes: put @hookimpl on it"),
        ("@hookimpl\nasync def register_routes(self, ctx):\n    return []", "must not be `async def`"),
        ("@hookimpl\ndef register_routes(self, ctx, extra):\n    return []", "extra"),
        ("@hookimpl\ndef register_routes(self):\n    return []", "register_routes must take (self, ctx)"),
        ("@hookimpl\nasync def job_changed(self, ctx):\n    pass", "must take (self, ctx, job)"),
        ("@hookimpl\nasync def job_changed(self, job, ctx):\n    pass", "must take (self, ctx, job)"),
        (
            "@hookimpl\nasync def job_changed(self, ctx, job):\n    yield",
            "job_changed: must not be `async def` and yield",
        ),
        ("@hookimpl\nasync def register_routes(self, ctx):\n    yield 1", "must not be `async def`"),
        (
            "@hookimpl\nasync def lifespan(self, ctx):\n    yield",
            "must not be `async def` and yield: put @async",
        ),
        ("@hookimpl\nasync def lifespan(self, ctx):\n    pass", "put @asynccontextmanager below @hookimpl"),
    ],
)
def test_a_hook_that_nobody_would_ever_call_is_refused(door, body, reason):
    door.plugin("bad", body)
    state, phase, error = door.reason("bad")
    assert (state, phase) == ("failed", "register")
    assert reason in error


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        ("'GET', '/api/elsewhere', handle, PUBLIC, returns=Hello", "outside the plugin's prefixes"),
        ("'GET', '/api/bad', handle, 'nobody:knows', returns=Hello", "'nobody:knows'"),
        ("'GET', '/api/bad', plain, PUBLIC, returns=Hello", "async def"),
        ("'get', '/api/bad', handle, PUBLIC, returns=Hello", "get /api/bad: the method is in capitals"),
        ("'GET', '/api/bad/{X}', handle, PUBLIC, returns=Hello", "segment"),
        ("'GET', '/api/bad', handle, PUBLIC, returns=Hello, also=[404]", "unhashable type: 'list'"),
        ("'POST', '/api/bad', vague, PUBLIC", "AttributeError: module 'sys' has no attribute 'nothing'"),
    ],
)
def test_a_route_that_cannot_work_takes_its_plugin_out_and_says_why(door, route, reason):
    body = f"@hookimpl\ndef register_routes(self, ctx):\n    return [Route({route})]"
    before = "async def handle(request):\n    pass\ndef plain(request):\n    pass\n"
    before += "async def vague(request, body: 'sys.nothing'):\n    pass"
    door.plugin("bad", body, before=before, prefixes=["/api/bad"])
    studio = door.studio()
    record = studio.loader.records["bad"]
    assert (str(record.state), record.phase) == ("failed", "register")
    assert reason in record.error
    assert "bad" not in studio.registry.plugins


def test_check_builds_the_models_that_a_start_leaves_to_the_first_request(door, monkeypatch, capsys):
    routes = "[Route('POST', '/api/bad', handle, PUBLIC), Route('GET', '/api/bad', fine, PUBLIC)]"
    before = """
        class Vague(Model):
            stream: asyncio.StreamReader
        async def handle(request, body: Vague) -> None:
            pass
        async def fine(request, query: Hello) -> Hello:
            return Hello(text="fine")
    """
    body = f"@hookimpl\ndef register_routes(self, ctx):\n    return {routes}"
    door.plugin("bad", body, before=before, prefixes=["/api/bad"])
    more = {"STUDIO_PLUGINS__ENABLED": "bad", "STUDIO_DATABASE__URL": "mongodb://127.0.0.1:1"}
    for name, value in (door.environ | more).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        check()
    [told] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("plugin")]
    assert ended.value.code == 1
    assert told.startswith("plugin bad: POST /api/bad: PydanticSchemaGenerationError: Unable to generate")


def test_a_missing_requirement_blocks_and_is_named(door):
    door.plugin("lonely", manifest=", requires=('nobody', 'noone')")
    state, phase, error = door.reason("lonely")
    assert (state, phase) == ("blocked", "order")
    assert error == "it requires nobody (not installed), noone (not installed)"


def test_what_requires_a_plugin_that_is_switched_off_says_so(door):
    door.plugin("base")
    door.plugin("lonely", manifest=", requires=('base',)")
    record = door.studio(STUDIO_PLUGINS__DISABLED="base").loader.records["lonely"]
    assert record.error == "it requires base (off)"


def test_what_requires_a_failed_plugin_is_blocked_all_the_way_up(door):
    door.plugin("bottom", before="raise RuntimeError('no')")
    door.plugin("middle", manifest=", requires=('bottom',)")
    door.plugin("top", manifest=", requires=('middle',)")
    records = door.studio().loader.records
    assert [str(records[name].state) for name in ("bottom", "middle", "top")] == [
        "failed",
        "blocked",
        "blocked",
    ]


def test_what_requires_a_plugin_with_bad_routes_is_blocked_before_the_start(door):
    body = "@hookimpl\ndef register_routes(self, ctx):\n    return [Route('GET', '/nowhere', print, PUBLIC)]"
    door.plugin("bottom", body)
    door.plugin("top", manifest=", requires=('bottom',)")
    studio = door.studio()
    assert str(studio.loader.records["top"].state) == "blocked"
    assert list(studio.registry.plugins) == ["studio"]


def test_a_circle_is_named_and_everybody_else_goes_on(door):
    door.company()
    door.plugin("hen", manifest=", requires=('egg',)")
    door.plugin("egg", manifest=", requires=('hen',)")
    studio = door.studio()
    for name in ("hen", "egg"):
        record = studio.loader.records[name]
        assert (str(record.state), record.phase) == ("failed", "order")
        assert "hen" in record.error
        assert "egg" in record.error
    assert studio.loader.records["good"].alive


def test_after_is_soft_and_requires_is_ordered(door):
    door.plugin("a_last", manifest=", requires=('z_first',), after=('nobody',)")
    door.plugin("z_first")
    studio = door.studio()
    assert list(studio.registry.plugins) == ["studio", "z_first", "a_last"]


def test_an_owner_that_is_not_there_is_told_as_a_warning(door):
    door.plugin("good")
    warnings = door.studio(STUDIO_OWNERS__COST="treasurer").loaded.warnings
    assert any("owners.cost" in line and "'treasurer'" in line for line in warnings)
