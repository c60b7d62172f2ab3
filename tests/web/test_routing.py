from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from studio import PUBLIC, Doc, Model, Page, Permission, Route
from studio.web.plan import plan_of
from studio.web.routing import check_routes

if TYPE_CHECKING:
    from studio import Actor as OnlyForCheckers


class Shown(Model):
    template: str
    given: dict[str, str]


def shows(template):
    async def handler(request):
        return Shown(template=template, given=dict(request.path))

    return handler


def get(path):
    return Route("GET", path, shows(path), PUBLIC)


@pytest.mark.http
@pytest.mark.parametrize(
    ("path", "template", "given"),
    [
        ("/", "/", {}),
        ("/api/stories", "/api/stories", {}),
        ("/api/stories/recent", "/api/stories/recent", {}),
        ("/api/stories/7", "/api/stories/{story_id}", {"story_id": "7"}),
        (
            "/api/stories/7/scenes/8",
            "/api/stories/{story_id}/scenes/{scene_id}",
            {"story_id": "7", "scene_id": "8"},
        ),
        ("/api/stories/recent/shots", "/api/stories/{id}/shots", {"id": "recent"}),
        ("/api/stories/recent/8/shots", "/api/stories/{id}/{part}/shots", {"id": "recent", "part": "8"}),
    ],
)
async def test_literal_segments_go_first_and_parameters_keep_their_names(serve, path, template, given):
    templates = [
        "/", "/api/stories", "/api/stories/recent", "/api/stories/{story_id}",
        "/api/stories/{story_id}/scenes/{scene_id}", "/api/stories/{id}/shots", "/api/stories/recent/{x}/y",
        "/api/stories/{id}/{part}/shots",
    ]  # fmt: skip
    house = await serve(*(get(template) for template in templates))
    assert (await house.call("GET", path)).data == {"template": template, "given": given}


@pytest.mark.http
@pytest.mark.parametrize(
    "path", ["/api/stories/", "/api//stories", "/api/stories/7/", "/api/stories/7/x", "/apix"]
)
async def test_near_misses_are_404(serve, path):
    house = await serve(get("/api/stories"), get("/api/stories/{story_id}"))
    assert (await house.call("GET", path)).status == 404


@pytest.mark.http
async def test_method_of_a_parameter_route_is_found_behind_a_literal_one(serve):
    house = await serve(Route("POST", "/api/a/b", shows("literal"), PUBLIC), get("/api/a/{x}"))
    assert (await house.call("GET", "/api/a/b")).data["template"] == "/api/a/{x}"
    refused = await house.call("PUT", "/api/a/b")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET,HEAD,POST")


@pytest.mark.http
async def test_own_head_route_goes_before_get(serve):
    async def head(request):
        return web.Response(headers={"X-Own": "1"})

    house = await serve(Route("HEAD", "/api/a", head, PUBLIC), get("/api/a"))
    assert "X-Own" in (await house.call("HEAD", "/api/a")).headers
    assert "X-Own" not in (await house.call("GET", "/api/a")).headers


@pytest.mark.http
async def test_routes_of_others_on_the_same_application_work(serve):
    async def socket(request):
        return web.Response(text="polling")

    house = await serve(get("/api/a"), extend=lambda app: app.router.add_get("/socket.io/", socket))
    assert (await house.call("GET", "/socket.io/")).body == b"polling"
    assert house.observed[0][:3] == ("/socket.io/", "GET", 200)


@pytest.mark.http
@pytest.mark.parametrize(
    ("reason", "status", "code"),
    [
        ("failed", 503, "plugin_unavailable"),
        ("blocked", 503, "plugin_unavailable"),
        ("off", 404, "plugin_off"),
    ],
)
async def test_prefix_of_a_plugin_that_does_not_run_says_so(serve, reason, status, code):
    house = await serve(get("/api/stories"), unavailable={"/api/assetGen": ("asset_gen", reason)})
    for method, path in (("GET", "/api/assetGen"), ("POST", "/api/assetGen/generate/7")):
        answer = await house.call(method, path)
        assert (answer.status, answer.data["code"], answer.data["plugin"]) == (status, code, "asset_gen")
    assert (await house.call("GET", "/api/assetGenerator")).data["code"] == "not_found"
    assert (await house.call("GET", "/api/stories")).status == 200


@pytest.mark.http
async def test_running_plugin_keeps_its_routes_below_a_failed_ones_prefix(serve):
    house = await serve(
        get("/api/workbench/projects"), unavailable={"/api/workbench": ("workbench", "failed")}
    )
    assert (await house.call("GET", "/api/workbench/projects")).status == 200
    assert (await house.call("GET", "/api/workbench/timelines")).status == 503
    assert (await house.call("PUT", "/api/workbench/projects")).status == 405


# ---------------------------------------------------------------- declarations

PERMISSIONS = {
    "story:read": Permission("story:read", "Read"),
    "ops": Permission("ops", "Operate", scope="platform"),
}


def problems(route, **prefixes):
    return check_routes([("tales", route)], PERMISSIONS, prefixes or {"tales": ["/api/tales"]}).get(
        "tales", []
    )


async def fine(request, story_id):
    return None


async def load(request):
    return None


def sync(request):
    return None


async def takes_more(request, banana):
    return None


async def takes_target(request, target):
    return None


async def untyped_body(request, body):
    return None


async def untyped_query(request, query: dict):
    return None


async def hidden_body(request, body: OnlyForCheckers):
    return None


async def hidden_elsewhere(request: OnlyForCheckers, body: Shown) -> OnlyForCheckers:
    return None


async def gives_documents(request) -> list[Doc]:
    return []


async def gives_page(request) -> Page:
    return Page([])


@pytest.mark.pure
@pytest.mark.parametrize(
    ("route", "words"),
    [
        (Route("GET", "/api/tales/{story_id}", fine, "story:fly"), "registers the permission 'story:fly'"),
        (Route("GET", "/api/tales/{story_id}", fine, "story:read"), "{project_id}"),
        (Route("GET", "/api/other/{story_id}", fine, PUBLIC), "outside the plugin's prefixes (/api/tales)"),
        (Route("GET", "/api/talesman/{story_id}", fine, PUBLIC), "outside the plugin's prefixes"),
        (Route("GET", "/api/tales", sync, PUBLIC), "handler sync: must be `async def`"),
        (Route("GET", "/api/tales/{StoryId}", fine, PUBLIC), "snake_case"),
        (Route("GET", "/api/tales/{story_id:.*}", fine, PUBLIC), "a segment is literal or one"),
        (Route("GET", "/api/tales//x", load, PUBLIC), "a segment is literal or one"),
        (Route("GET", "/api/tales", takes_more, PUBLIC), "nothing fills ['banana']"),
        (Route("GET", "/api/tales", takes_target, PUBLIC), "needs a `load`"),
        (Route("POST", "/api/tales", untyped_body, PUBLIC), "`body` needs a model"),
        (Route("GET", "/api/tales", hidden_elsewhere, PUBLIC), "`body` needs a model as annotation and POST"),
        (Route("GET", "/api/tales", untyped_query, PUBLIC), "`query` needs a model"),
        (Route("POST", "/api/tales", hidden_body, PUBLIC), "import it outside `if TYPE_CHECKING`"),
        (Route("GET", "/api/tales", gives_documents, PUBLIC), "`returns`"),
        (Route("GET", "/api/tales", gives_page, PUBLIC), "`returns`"),
    ],
)
def test_wrong_declaration_is_named(route, words):
    [problem] = problems(route)
    assert words in problem
    assert problem.startswith(f"{route.method} {route.path}: ")


@pytest.mark.pure
@pytest.mark.parametrize(
    "route",
    [
        Route("GET", "/api/tales/{story_id}", fine, "ops"),
        Route("GET", "/api/tales/{story_id}", fine, "story:read", load=load),
        Route("GET", "/api/tales/{project_id}/{story_id}", fine, "story:read"),
        Route("POST", "/api/tales", hidden_elsewhere, PUBLIC),
    ],
)
def test_right_declaration_has_no_problem(route):
    assert problems(route) == []


@pytest.mark.pure
def test_all_problems_of_a_route_are_told_at_once():
    assert len(problems(Route("GET", "/api/other", sync, "story:fly"))) == 3


@pytest.mark.pure
def test_duplicate_route_names_both_owners_and_is_the_later_ones_problem():
    first = Route("GET", "/api/tales/{story_id}", fine, PUBLIC)
    second = Route("GET", "/api/tales/{id}", load, PUBLIC)
    prefixes = {"tales": ["/api/tales"], "myths": ["/api/tales"]}
    found = check_routes([("tales", first), ("myths", second)], {}, prefixes)
    assert list(found) == ["myths"]
    assert "'tales' already, 'myths'" in found["myths"][0]


@pytest.mark.pure
def test_plan_takes_the_public_model_from_the_annotation():
    async def read(request) -> Shown:
        raise NotImplementedError

    assert plan_of("tales", Route("GET", "/api/tales", read, PUBLIC)).returns is Shown
