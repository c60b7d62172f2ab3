"""What a stranger's code may do to a request, to `/readyz` and to what the public is told."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.http


def routes(line):
    route = "Route('GET', '/api/bad', handle, PUBLIC, returns=Hello)"
    return f"@hookimpl\ndef register_routes(self, ctx):\n    return [{route}]\n{line}"


@pytest.mark.parametrize("line", ["raise RuntimeError('secret path')", "sys.exit(0)", "raise SystemExit"])
async def test_a_handler_that_breaks_answers_500_and_the_server_lives(door, line):
    door.company()
    door.plugin("bad", routes(""), before=f"async def handle(request):\n    {line}", prefixes=["/api/bad"])
    async with door.open() as house:
        status, problem = await house.get("/api/bad")
        assert (status, problem["code"]) == (500, "internal_error")
        assert "secret path" not in str(problem)
        assert (await house.get("/api/good"))[0] == 200


MIDDLEWARE = """
async def handle(request):
    return Hello(text='bad')
async def refuse(request, handler):
    raise ForbiddenError('not through here')
"""
WRAPS = "@hookimpl\ndef register_middlewares(self, ctx):\n    return [refuse]"


async def test_a_middleware_wraps_its_own_routes_only(door):
    door.company()
    door.plugin("bad", routes(WRAPS), before=MIDDLEWARE, prefixes=["/api/bad"])
    async with door.open() as house:
        assert (await house.get("/api/bad"))[0] == 403
        assert (await house.get("/api/good"))[0] == 200
        assert (await house.get("/healthz"))[0] == 200


async def test_a_middleware_wraps_every_route_once_the_operator_allows_it(door):
    door.company()
    counting = """
        calls = 0
        @hookimpl
        def wrap_route(self, ctx, route):
            async def count(request, handler):
                type(self).calls += 1
                return await handler(request)
            return count if route.path != "/readyz" else None
    """
    door.plugin(
        "counter",
        routes("") + __import__("textwrap").dedent(counting),
        before=MIDDLEWARE,
        prefixes=["/api/bad"],
    )
    async with door.open(STUDIO_PLUGINS__GLOBAL_MIDDLEWARES="counter,nobody") as house:
        for path in ("/api/good", "/healthz", "/api/bad", "/readyz"):
            assert (await house.get(path))[0] == 200
        assert house.studio.loader.records["counter"].plugin.calls == 3


@pytest.mark.parametrize(
    "line", ["raise RuntimeError('ill')", "sys.exit(1)", "return object()", "await asyncio.Event().wait()"]
)
async def test_a_health_check_that_breaks_speaks_for_itself_only(door, line, monkeypatch):
    monkeypatch.setattr("studio.system.PROBE_LIMIT_S", 0.05)
    body = """
        @hookimpl
        def register_health_checks(self, ctx):
            return [HealthCheck('odd', probe, critical=False, deadline_s=3600)]
    """
    door.company()
    door.plugin("bad", body, before=f"async def probe():\n    {line}")
    async with door.open() as house:
        status, body = await house.get("/readyz")
        assert (status, body["status"]) == (200, "ok")
        assert body["checks"]["database"]["ok"]
        assert body["checks"]["odd"]["ok"] == line.startswith("return")


async def test_a_critical_check_that_fails_makes_the_platform_unready_and_not_unhealthy(door):
    body = "@hookimpl\ndef register_health_checks(self, ctx):\n    return [HealthCheck('vital', probe)]"
    door.company()
    door.plugin("bad", body, before="async def probe():\n    raise RuntimeError('ill')")
    async with door.open() as house:
        status, answer = await house.get("/readyz")
        assert (status, answer["checks"]["vital"]["note"]) == (503, "RuntimeError: ill")
        assert (await house.get("/healthz"))[0] == 200


async def test_the_public_learns_that_a_plugin_failed_and_only_operators_why(door):
    door.company()
    door.plugin("bad", before="raise RuntimeError('no file /srv/private/licence')")
    async with door.open() as house:
        _, capabilities = await house.get("/api/capabilities", root=False)
        bad = next(f for f in capabilities["features"] if f["name"] == "bad")
        assert (bad["available"], bad["reason"]) == (False, "failed in import")
        assert (await house.get("/api/plugins", root=False))[0] == 401
        assert "/srv/private" in (await house.plugin("bad"))["error"]


async def test_operators_see_where_each_plugin_comes_from_and_how_long_it_took(door):
    door.company()
    async with door.open() as house:
        good = await house.plugin("good")
    assert (good["distribution"], good["version"], good["prefixes"]) == (
        "stranger-good",
        "1.2",
        ["/api/good"],
    )
    assert set(good["timingsMs"]) == {"import", "register", "start"}
