from __future__ import annotations

import asyncio
import gzip
from typing import Annotated, Literal

import pytest
from pydantic import Field

from studio import PUBLIC, SIGNED_IN, Model, Route
from studio.settings import WebSettings
from studio.web import typed
from studio.web.paging import PageQuery, expect_rev

pytestmark = pytest.mark.http


class Scene(Model):
    scene_title: str = Field(max_length=10)
    length_s: int = 3


class StoryCreate(Model):
    story_title: str
    scenes: list[Scene] = Field(default_factory=list)


class Cat(Model):
    kind: Literal["cat"]


class Dog(Model):
    kind: Literal["dog"]


class Echo(Model):
    got: dict[str, object]


class StoryQuery(PageQuery):
    tag: list[str] = Field(default_factory=list)
    newest_first: bool = False


async def create_story(request, body: StoryCreate):
    return Echo(got=body.model_dump())


async def create_many(request, body: list[Scene]):
    return Echo(got={"count": len(body)})


async def touch_story(request, body: StoryCreate | None):
    return Echo(got={"body": body})


async def adopt(request, body: Annotated[Cat | Dog, Field(discriminator="kind")]):
    return Echo(got={"kind": body.kind})


async def list_stories(request, query: StoryQuery):
    return Echo(got=query.model_dump())


async def read_path(request, story_id, scene_id):
    return Echo(got={"story": story_id, "scene": scene_id, "raw": dict(request.path)})


async def read_rev(request):
    return Echo(got={"rev": expect_rev(request)})


async def read_raw(request):
    return Echo(got={"size": len(await request.raw.read())})


def post(handler, **given):
    return Route("POST", "/api/stories", handler, SIGNED_IN, **given)


def get(handler, path="/api/stories"):
    return Route("GET", path, handler, PUBLIC)


async def test_camel_case_body_arrives_as_model(serve):
    house = await serve(post(create_story))
    answer = await house.call(
        "POST", "/api/stories", json={"storyTitle": "A", "scenes": [{"sceneTitle": "B"}]}
    )
    assert answer.data["got"] == {"story_title": "A", "scenes": [{"scene_title": "B", "length_s": 3}]}


async def test_snake_case_body_is_refused(serve):
    house = await serve(post(create_story))
    answer = await house.call("POST", "/api/stories", json={"story_title": "A"})
    assert answer.status == 422
    assert {e["pointer"] for e in answer.data["errors"]} == {"/storyTitle", "/story_title"}


async def test_unknown_fields_are_named_by_pointer(serve):
    house = await serve(post(create_story))
    body = {"storyTitle": "A", "scenes": [{"sceneTitle": "B", "role/x~": 1}], "owner_id": "me"}
    answer = await house.call("POST", "/api/stories", json=body)
    assert answer.status == 422
    assert [e["pointer"] for e in answer.data["errors"]] == ["/scenes/0/role~1x~0", "/owner_id"]


async def test_invalid_values_are_never_echoed(serve):
    house = await serve(post(create_story))
    body = {"storyTitle": {"$ne": "sesame-1"}, "scenes": [{"sceneTitle": "sesame-2 is far too long"}]}
    answer = await house.call("POST", "/api/stories", json=body)
    assert answer.status == 422
    assert len(answer.data["errors"]) == 2
    assert b"sesame" not in answer.body


async def test_wrong_union_tag_is_not_echoed(serve):
    house = await serve(post(adopt))
    answer = await house.call("POST", "/api/stories", json={"kind": "sesame"})
    assert answer.status == 422
    assert b"sesame" not in answer.body
    assert "'cat'" in answer.data["errors"][0]["message"]


async def test_a_million_unknown_fields_get_fifty_errors(serve):
    house = await serve(post(create_story))
    answer = await house.call("POST", "/api/stories", json={f"field{'x' * 200}{i}": 1 for i in range(500)})
    assert len(answer.data["errors"]) == 50
    assert len(answer.body) < 20_000


async def test_malformed_json_is_400(serve):
    house = await serve(post(create_story))
    answer = await house.call(
        "POST", "/api/stories", data=b'{"a":', headers={"Content-Type": "application/json"}
    )
    assert (answer.status, answer.data["code"]) == (400, "malformed_json")


@pytest.mark.parametrize("body", [b"\xff\xfe", b'"\\ud800"', b"[" * 100_000, b"nul", b'{"a":1}x'])
async def test_hostile_json_is_refused_without_a_5xx(serve, body):
    house = await serve(post(create_story))
    answer = await house.call("POST", "/api/stories", data=body, headers={"Content-Type": "application/json"})
    assert answer.status in (400, 422)
    assert house.errors == []


async def test_missing_body_is_422(serve):
    house = await serve(post(create_story))
    answer = await house.call("POST", "/api/stories")
    assert (answer.status, answer.data["errors"][0]["message"]) == (422, "Field required")


async def test_missing_optional_body_is_none(serve):
    house = await serve(post(touch_story))
    assert (await house.call("POST", "/api/stories")).data == {"got": {"body": None}}


async def test_list_body_is_validated_item_by_item(serve):
    house = await serve(post(create_many))
    assert (await house.call("POST", "/api/stories", json=[{"sceneTitle": "a"}] * 3)).data["got"][
        "count"
    ] == 3
    answer = await house.call("POST", "/api/stories", json=[{"sceneTitle": "a"}, {}])
    assert answer.data["errors"][0]["pointer"] == "/1/sceneTitle"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_other_media_type_is_415_and_names_what_is_accepted(serve, kind):
    house = await serve(post(create_story))
    answer = await house.call(
        "POST", "/api/stories", data=b'{"storyTitle":"A"}', headers={"Content-Type": kind}
    )
    assert (answer.status, answer.data["accepts"]) == (415, ["application/json"])


async def test_charset_parameter_is_accepted(serve):
    house = await serve(post(create_story))
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert (
        await house.call("POST", "/api/stories", data=b'{"storyTitle":"A"}', headers=headers)
    ).status == 200


async def test_upload_of_an_undeclared_kind_is_415_before_the_handler(serve):
    house = await serve(post(read_raw, media=("image/png",)))
    refused = await house.call("POST", "/api/stories", data=b"x", headers={"Content-Type": "image/gif"})
    taken = await house.call("POST", "/api/stories", data=b"xy", headers={"Content-Type": "image/png"})
    assert (refused.status, refused.data["accepts"], taken.data) == (415, ["image/png"], {"got": {"size": 2}})


async def test_body_over_the_configured_limit_is_413(serve):
    house = await serve(post(create_story), web=WebSettings(body_limit=100))
    answer = await house.call("POST", "/api/stories", json={"storyTitle": "A" * 100})
    assert (answer.status, answer.data["code"], answer.data["limit"]) == (413, "payload_too_large", 100)


async def test_limit_counts_decoded_bytes(serve):
    house = await serve(post(create_story, body_limit=50_000))
    packed = gzip.compress(b'{"storyTitle":"' + b"A" * 1_000_000 + b'"}')
    assert len(packed) < 5_000
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await house.call("POST", "/api/stories", data=packed, headers=headers)
    assert (answer.status, answer.data["code"]) == (413, "payload_too_large")


async def test_limit_counts_chunked_bodies(serve):
    async def chunks():
        for _ in range(20):
            yield b"A" * 1000

    house = await serve(post(create_story, body_limit=5_000))
    headers = {"Content-Type": "application/json"}
    assert (await house.call("POST", "/api/stories", data=chunks(), headers=headers)).status == 413


async def test_route_may_take_more_than_the_default(serve):
    routes = post(create_story, body_limit=900_000), post_raw(body_limit=900_000)
    house = await serve(*routes, web=WebSettings(body_limit=1_000))
    assert (await house.call("POST", "/api/stories", json={"storyTitle": "A" * 800_000})).status == 200
    assert (await house.call("POST", "/api/raw", data=b"A" * 800_000)).data == {"got": {"size": 800_000}}


def post_raw(**given):
    return Route("POST", "/api/raw", read_raw, PUBLIC, **given)


async def test_raw_reading_handler_is_held_to_its_limit(serve):
    house = await serve(post_raw(body_limit=1_000))
    assert (await house.call("POST", "/api/raw", data=b"A" * 1_001)).status == 413


async def test_broken_compression_is_400(serve):
    house = await serve(post(create_story))
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await house.call("POST", "/api/stories", data=b"this is no gzip at all", headers=headers)
    assert answer.status == 400
    assert house.errors == []


async def test_body_that_stalls_is_408(serve, monkeypatch):
    monkeypatch.setattr(typed, "BODY_DEADLINE_S", 0.05)
    house = await serve(post(create_story))
    reader, writer = await asyncio.open_connection("127.0.0.1", house.client.port)
    writer.write(
        b"POST /api/stories HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ann\r\n"
        b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    status = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    await writer.wait_closed()
    assert b" 408 " in status


async def test_query_is_converted_with_lists_and_defaults(serve):
    house = await serve(get(list_stories))
    answer = await house.call("GET", "/api/stories?tag=a&tag=b&newestFirst=true&limit=7", None)
    assert answer.data["got"] == {"cursor": None, "limit": 7, "tag": ["a", "b"], "newest_first": True}
    assert (await house.call("GET", "/api/stories", None)).data["got"]["limit"] == 50


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/limit"),
        ("limit=201", "/limit"),
        ("q[$gt]=1", "/q[$gt]"),
        ("newest_first=1", "/newest_first"),
    ],
)
async def test_bad_query_is_422(serve, query, pointer):
    house = await serve(get(list_stories))
    answer = await house.call("GET", f"/api/stories?{query}", None)
    assert (answer.status, answer.data["errors"][0]["pointer"]) == (422, pointer)


async def test_repeated_query_key_is_422(serve):
    house = await serve(get(list_stories))
    answer = await house.call("GET", "/api/stories?limit=1&limit=2", None)
    assert (answer.status, answer.data["errors"]) == (422, [{"pointer": "/limit", "message": "Give it once"}])


async def test_path_parameters_are_decoded_strings(serve):
    house = await serve(get(read_path, "/api/stories/{story_id}/scenes/{scene_id}"))
    answer = await house.call("GET", "/api/stories/a%2Fb%25/scenes/%C3%A9", None)
    assert answer.data["got"]["story"] == "a/b%"
    assert answer.data["got"]["scene"] == "é"


@pytest.mark.parametrize(("header", "rev"), [('"3"', 3), ('W/"12"', 12), ("*", None), (None, None)])
async def test_if_match_gives_the_expected_revision(serve, header, rev):
    house = await serve(get(read_rev))
    headers = {"If-Match": header} if header else {}
    assert (await house.call("GET", "/api/stories", None, headers=headers)).data == {"got": {"rev": rev}}


@pytest.mark.parametrize("header", ["3", '"abc"', '"-1"', '"1", "2"'])
async def test_if_match_that_is_no_revision_is_400(serve, header):
    house = await serve(get(read_rev))
    assert (await house.call("GET", "/api/stories", None, headers={"If-Match": header})).status == 400
