from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Literal

import pytest
from pydantic import Field

from studio import PUBLIC, SIGNED_IN, Doc, Model, Page, PageQuery, Route
from studio_openapi.document import build_openapi

pytestmark = pytest.mark.pure


class Scene(Model):
    scene_title: str


class Story(Model):
    id: str
    state: Literal["draft", "done"] = "draft"
    scenes: list[Scene] = Field(default_factory=list)


class StoryCreate(Model):
    story_title: str
    scenes: list[Scene] = Field(default_factory=list)


class StoryQuery(PageQuery):
    state: Literal["draft", "done"] | None = None
    tag: list[str] = Field(default_factory=list)


async def create_story(request, body: StoryCreate) -> Doc:
    """Create a story.

    It starts as a draft.
    """
    raise NotImplementedError


async def list_stories(request, query: StoryQuery) -> Page:
    raise NotImplementedError


async def list_all(request) -> list[Doc]:
    raise NotImplementedError


async def get_health(request):
    raise NotImplementedError


async def delete_story(request, story_id):
    """Delete a story."""


async def import_script(request) -> Story:
    raise NotImplementedError


async def export_film(request):
    raise NotImplementedError


class Vague(Model):
    stream: asyncio.StreamReader


async def take_stream(request, body: Vague) -> None:
    raise NotImplementedError


def named(name):
    async def handler(request):
        raise NotImplementedError

    handler.__name__ = name
    return handler


INSIDE = "/api/projects/{project_id}/stories"
ROUTES = [
    ("stories", Route("POST", INSIDE, create_story, "story:write", returns=Story, status=201)),
    ("stories", Route("GET", INSIDE, list_stories, "story:read", returns=Story, many=True)),
    ("stories", Route("GET", "/api/stories", list_all, SIGNED_IN, returns=Story, many=True)),
    ("stories", Route("DELETE", "/api/stories/{story_id}", delete_story, "story:write", load=get_health)),
    ("stories", Route("POST", "/api/import", import_script, SIGNED_IN, media=("text/plain", "text/xml"))),
    ("film", Route("GET", "/api/film", export_film, SIGNED_IN, produces="video/mp4", summary="The film")),
    ("kernel", Route("GET", "/healthz", get_health, PUBLIC)),
]


@pytest.fixture(scope="module")
def document():
    return build_openapi(ROUTES, "Studio", "1.2.3")


def test_document_is_valid_openapi_3_1(document):
    from openapi_spec_validator import OpenAPIV31SpecValidator

    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_document_is_the_same_in_any_order_of_registration(document):
    again = build_openapi(ROUTES[::-1], "Studio", "1.2.3")
    assert json.dumps(again) == json.dumps(document)


def test_every_route_is_there_under_its_handlers_name(document):
    found = {op["operationId"] for path in document["paths"].values() for op in path.values()}
    assert found == {route.handler.__name__ for _, route in ROUTES}


def test_operation_tells_permission_tag_and_text(document):
    create = document["paths"][INSIDE]["post"]
    assert create["x-permission"] == "story:write"
    assert create["tags"] == ["stories"]
    assert (create["summary"], create["description"]) == ("Create a story.", "It starts as a draft.")
    assert create["security"] == [{"bearer": []}, {"apiKey": []}]
    assert document["paths"]["/healthz"]["get"]["security"] == []
    assert document["paths"]["/api/film"]["get"]["summary"] == "The film"


def test_body_and_answer_refer_to_camel_case_schemas(document):
    create = document["paths"][INSIDE]["post"]
    body = create["requestBody"]["content"]["application/json"]["schema"]
    schema = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]
    assert set(schema["properties"]) == {"storyTitle", "scenes"}
    assert schema["additionalProperties"] is False
    assert "201" in create["responses"]


def test_model_without_a_schema_costs_only_its_own_operation_something():
    routes = [*ROUTES, ("bad", Route("POST", "/api/bad", take_stream, PUBLIC))]
    document = build_openapi(routes, "Studio", "1.2.3")
    assert "requestBody" not in document["paths"]["/api/bad"]["post"]
    assert document["paths"][INSIDE] == build_openapi(ROUTES, "Studio", "1.2.3")["paths"][INSIDE]


def test_parameters_come_from_path_query_model_and_key_header(document):
    read = document["paths"][INSIDE]["get"]["parameters"]
    assert [(p["name"], p["in"], p.get("required", False)) for p in read] == [
        ("project_id", "path", True),
        ("cursor", "query", False),
        ("limit", "query", False),
        ("state", "query", False),
        ("tag", "query", False),
    ]
    assert read[2]["schema"]["maximum"] == 200
    write = document["paths"]["/api/stories/{story_id}"]["delete"]["parameters"]
    assert [p["name"] for p in write] == ["story_id", "Idempotency-Key"]


def test_lists_and_pages_have_their_shape(document):
    read = document["paths"][INSIDE]["get"]["responses"]["200"]
    page = read["content"]["application/json"]["schema"]
    assert page["required"] == ["items", "nextCursor"]
    assert page["properties"]["items"]["items"]["$ref"].startswith("#/components/schemas/Story")
    plain = document["paths"]["/api/stories"]["get"]["responses"]["200"]["content"]["application/json"][
        "schema"
    ]
    assert plain["type"] == "array"


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        ("/healthz", "get", {204, 429, 503, 504}),
        ("/api/stories", "get", {200, 401, 403, 429, 503, 504}),
        ("/api/stories/{story_id}", "delete", {204, 400, 401, 403, 404, 409, 429, 502, 503, 504}),
        ("/api/import", "post", {200, 400, 401, 403, 409, 413, 415, 429, 502, 503, 504}),
        (
            INSIDE,
            "post",
            {201, 400, 401, 403, 404, 409, 413, 415, 422, 429, 502, 503, 504},
        ),
    ],
)
def test_only_statuses_that_can_happen_are_listed(document, path, method, statuses):
    assert {int(status) for status in document["paths"][path][method]["responses"]} == statuses


def test_other_media_are_binary_and_other_products_named(document):
    body = document["paths"]["/api/import"]["post"]["requestBody"]["content"]
    assert set(body) == {"text/plain", "text/xml"}
    assert "video/mp4" in document["paths"]["/api/film"]["get"]["responses"]["200"]["content"]


def answers_of(**told):
    async def handler(request):
        raise NotImplementedError

    handler.__annotations__["return"] = "web.Response"
    route = Route("GET", "/x", handler, PUBLIC, **told)
    return build_openapi([("a", route)], "T", "1")["paths"]["/x"]["get"]["responses"]


def test_further_statuses_are_good_ones_like_the_first_or_problems():
    found = answers_of(returns=Story, status=202, also=(200, 409))
    assert found["200"]["content"] == found["202"]["content"]
    assert "application/problem+json" in found["409"]["content"]


def test_handler_that_answers_for_itself_has_a_body_unless_its_status_has_none():
    assert answers_of()["200"]["content"] == {"application/json": {}}
    assert answers_of(status=204)["204"] == {"description": "No Content"}
    assert answers_of(status=302, produces="text/html")["302"] == {"description": "Found"}
    assert answers_of(produces="*/*")["200"]["content"] == {"*/*": {}}


def test_same_handler_names_get_unique_operation_ids():
    routes = [
        ("a", Route("GET", "/a", named("read"), PUBLIC)),
        ("b", Route("GET", "/b", named("read"), PUBLIC)),
        ("b", Route("GET", "/b/{x}", named("read"), PUBLIC)),
        ("c", Route("GET", "/c", named("other"), PUBLIC)),
    ]
    document = build_openapi(routes, "T", "1")
    names = [op["operationId"] for path in document["paths"].values() for op in path.values()]
    assert names == ["a_read", "b_read_get_b", "b_read_get_b_x", "other"]


def test_handler_of_several_addresses_is_named_by_what_it_handles():
    handler = named("delete_entity")
    routes = [("a", Route("DELETE", f"/s/{thing}/{{id}}", handler, PUBLIC)) for thing in ("props", "places")]
    paths = build_openapi(routes, "T", "1")["paths"]
    assert paths["/s/props/{id}"]["delete"]["operationId"] == "a_delete_entity_props"
    assert paths["/s/places/{id}"]["delete"]["operationId"] == "a_delete_entity_places"


def test_answer_to_a_file_tells_ranges_and_what_has_no_body():
    found = answers_of(produces="*/*", also=(206, 304, 416))
    assert found["206"]["content"] == {"*/*": {}}
    for status in (HTTPStatus.NOT_MODIFIED, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
        assert found[str(status.value)] == {"description": status.phrase}


def test_refusal_for_haste_tells_how_long_to_wait(document):
    found = answers_of()
    assert set(found["429"]["headers"]) == {"Retry-After", "RateLimit", "RateLimit-Policy"}
    assert set(found["503"]["headers"]) == {"Retry-After"}
    assert set(document["components"]["headers"]) == set(found["429"]["headers"])


class StoryUpdate(Model):
    story_title: str
    rev: int | None = None


async def update_story(request, body: StoryUpdate) -> None:
    raise NotImplementedError


async def copy_story(request, body: StoryUpdate) -> None:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("route", "headers"),
    [
        (Route("PATCH", "/x", update_story, PUBLIC), ["If-Match", "Idempotency-Key"]),
        (Route("POST", "/x", copy_story, PUBLIC, idempotent=False), []),
        (Route("GET", "/x", named("f"), PUBLIC, also=(206, 304)), ["If-None-Match", "Range"]),
        (Route("GET", "/x", named("f"), PUBLIC, produces="text/event-stream"), ["Last-Event-ID"]),
    ],
)
def test_headers_that_a_route_reads_are_parameters(route, headers):
    operation = build_openapi([("a", route)], "T", "1")["paths"]["/x"][route.method.lower()]
    assert [p["name"] for p in operation["parameters"] if p["in"] == "header"] == headers


def test_fields_have_no_titles_that_generators_would_name_types_by(document):
    stories = document["components"]["schemas"]["StoryCreate"]
    assert [field for field in stories["properties"].values() if "title" in field] == []
    assert stories["title"] == "StoryCreate"


def test_models_that_nothing_refers_to_are_left_out(document):
    assert set(document["components"]["schemas"]) == {"Problem", "Scene", "Story", "StoryCreate"}


def test_document_says_where_it_is_served_and_names_its_tags(document):
    assert document["servers"] == [{"url": "/"}]
    away = build_openapi(ROUTES, "Studio", "1", server="https://studio.example.com")
    assert away["servers"] == [{"url": "https://studio.example.com"}]
    assert [tag["name"] for tag in document["tags"]] == ["film", "kernel", "stories"]


def test_same_model_names_of_two_plugins_are_kept_apart():
    def model(field):
        return type("Thing", (Model,), {"__annotations__": {field: int}, "__module__": f"plugin_{field}"})

    routes = [
        ("a", Route("GET", "/a", named("read_a"), PUBLIC, returns=model("x"))),
        ("b", Route("GET", "/b", named("read_b"), PUBLIC, returns=model("y"))),
    ]
    document = build_openapi(routes, "T", "1")
    answers = [
        document["paths"][p]["get"]["responses"]["200"]["content"]["application/json"] for p in ("/a", "/b")
    ]
    names = [answer["schema"]["$ref"].rpartition("/")[2] for answer in answers]
    assert [set(document["components"]["schemas"][name]["properties"]) for name in names] == [{"x"}, {"y"}]
