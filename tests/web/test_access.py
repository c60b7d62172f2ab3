from __future__ import annotations

import pytest

from studio import PUBLIC, SIGNED_IN, Model, Route, project_in_body, project_in_query

pytestmark = pytest.mark.http
STORIES = {"s1": {"_id": "s1", "project_id": "p1"}, "s2": {"_id": "s2", "project_id": "p2"}}


class Named(Model):
    project_id: str


class Who(Model):
    user_id: str | None


async def who(request):
    return Who(user_id=request.actor.user_id)


async def maybe_who(request):
    return Who(user_id=request._actor and request._actor.user_id)


async def create_in(request, body: Named):
    return Who(user_id=request.actor.user_id)


async def list_in(request, query: Named):
    return Who(user_id=request.actor.user_id)


async def read_story(request, target):
    return Who(user_id=target["_id"])


async def load_story(request):
    return STORIES.get(request.path["story_id"])


async def test_no_token_is_401_with_a_challenge(serve):
    house = await serve(Route("GET", "/api/me", who, SIGNED_IN))
    answer = await house.call("GET", "/api/me", None)
    assert (answer.status, answer.data["code"]) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_token_makes_the_actor(serve):
    house = await serve(Route("GET", "/api/me", who, SIGNED_IN))
    assert (await house.call("GET", "/api/me")).data == {"userId": "ann"}
    assert house.auth.asked == []


async def test_authentication_comes_before_the_body(serve):
    house = await serve(Route("POST", "/api/in", create_in, SIGNED_IN))
    assert (
        await house.call("POST", "/api/in", None, data=b"{", headers={"Content-Type": "x/y"})
    ).status == 401


async def test_public_route_without_credentials_asks_nobody(serve):
    house = await serve(Route("GET", "/api/open", maybe_who, PUBLIC))
    assert (await house.call("GET", "/api/open", None)).data == {"userId": None}
    assert house.auth.shown == []


async def test_public_route_knows_a_good_token_and_ignores_a_bad_one(serve):
    house = await serve(Route("GET", "/api/open", maybe_who, PUBLIC))
    assert (await house.call("GET", "/api/open", "bob")).data == {"userId": "bob"}
    assert (await house.call("GET", "/api/open", "mallory")).data == {"userId": None}


async def test_public_handler_that_needs_an_actor_is_401(serve):
    house = await serve(Route("GET", "/api/open", who, PUBLIC))
    assert (await house.call("GET", "/api/open", None)).status == 401


async def test_project_in_the_path_is_asked_for(serve):
    house = await serve(Route("GET", "/api/projects/{project_id}", who, "story:write"))
    assert (await house.call("GET", "/api/projects/p1")).status == 200
    assert house.auth.asked == [("ann", "story:write", "p1")]


async def test_known_project_without_the_right_is_403_and_unknown_is_404(serve):
    house = await serve(Route("GET", "/api/projects/{project_id}", who, "story:write"))
    assert (await house.call("GET", "/api/projects/p1", "bob")).status == 403
    assert (await house.call("GET", "/api/projects/p2", "ann")).status == 404


async def test_project_in_the_body_is_asked_for(serve):
    house = await serve(Route("POST", "/api/in", create_in, "story:write", load=project_in_body))
    assert (await house.call("POST", "/api/in", json={"projectId": "p1"})).status == 200
    assert (await house.call("POST", "/api/in", json={"projectId": "p2"})).status == 404


async def test_project_in_the_query_is_asked_for(serve):
    house = await serve(Route("GET", "/api/in", list_in, "story:read", load=project_in_query))
    assert (await house.call("GET", "/api/in?projectId=p2", "bob")).status == 200
    assert house.auth.asked == [("bob", "story:read", "p2")]


async def test_loaded_target_decides_and_reaches_the_handler(serve):
    house = await serve(Route("GET", "/api/stories/{story_id}", read_story, "story:read", load=load_story))
    assert (await house.call("GET", "/api/stories/s1")).data == {"userId": "s1"}
    assert (await house.call("GET", "/api/stories/s2")).status == 404
    assert (await house.call("GET", "/api/stories/nix")).status == 404
    assert house.auth.asked == [("ann", "story:read", "p1"), ("ann", "story:read", "p2")]


async def test_target_of_another_project_than_the_path_is_404(serve):
    path = "/api/projects/{project_id}/stories/{story_id}"
    house = await serve(Route("GET", path, read_story, "story:read", load=load_story))
    assert (await house.call("GET", "/api/projects/p1/stories/s1")).status == 200
    assert (await house.call("GET", "/api/projects/p1/stories/s2")).status == 404
    assert house.auth.asked == [("ann", "story:read", "p1")]


async def test_platform_permission_is_asked_without_a_project(serve):
    house = await serve(Route("GET", "/api/projects/{project_id}", who, "platform:admin"))
    assert (await house.call("GET", "/api/projects/p1", "admin")).status == 200
    assert (await house.call("GET", "/api/projects/p1", "ann")).status == 403
    assert house.auth.asked[0] == ("admin", "platform:admin", None)


async def test_api_key_needs_the_scope_of_the_route(serve):
    house = await serve(
        Route("GET", "/api/projects/{project_id}", who, "story:read"),
        Route("PUT", "/api/projects/{project_id}", who, "story:write"),
        Route("GET", "/api/me", who, SIGNED_IN),
    )
    assert (await house.call("GET", "/api/projects/p1", "key")).status == 200
    refused = await house.call("PUT", "/api/projects/p1", "key")
    assert (refused.status, refused.data["code"]) == (403, "scope_missing")
    assert (await house.call("GET", "/api/me", "key")).status == 403


async def test_cookie_write_needs_a_header_that_other_sites_cannot_send(serve):
    house = await serve(Route("POST", "/api/me", who, SIGNED_IN), Route("GET", "/api/me", who, SIGNED_IN))
    cookie = {"Cookie": "session=ann"}
    refused = await house.call("POST", "/api/me", None, headers=cookie)
    assert (refused.status, refused.data["code"]) == (403, "csrf_header_missing")
    assert (
        await house.call("POST", "/api/me", None, headers={**cookie, "X-Requested-With": "x"})
    ).status == 200
    assert (await house.call("GET", "/api/me", None, headers=cookie)).data == {"userId": "ann"}


async def test_forwarded_address_counts_only_from_trusted_proxies(serve):
    route = Route("GET", "/api/me", who, SIGNED_IN)
    plain, proxied = await serve(route), await serve(route, proxies=["127.0.0.0/8", "10.0.0.1"])
    headers = {"X-Forwarded-For": "6.6.6.6, 9.9.9.9, 10.0.0.1"}
    await plain.call("GET", "/api/me", headers=headers)
    await proxied.call("GET", "/api/me", headers=headers)
    assert plain.auth.shown[0].remote == "127.0.0.1"
    assert proxied.auth.shown[0].remote == "9.9.9.9"


async def test_plugin_middlewares_wrap_outermost_first(serve):
    seen = []

    def named(name):
        async def middleware(request, handler):
            seen.append(name)
            return await handler(request)

        return middleware

    house = await serve(Route("GET", "/api/me", who, SIGNED_IN), middlewares=[named("a"), named("b")])
    assert (await house.call("GET", "/api/me")).status == 200
    assert seen == ["a", "b"]
