from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from studio import (
    PUBLIC,
    BudgetExceededError,
    ConflictError,
    Model,
    Page,
    RateLimitedError,
    Route,
)
from studio.settings import WebSettings

pytestmark = pytest.mark.http


class Story(Model):
    id: str
    story_title: str = "untitled"


async def one(request):
    return {"_id": "1", "story_title": "A", "owner_hash": "x"}


async def several(request):
    return [{"_id": "1"}, {"_id": "2"}]


async def page(request) -> Page:
    return Page([{"_id": "1"}], "next")


async def model(request) -> Story:
    return Story(id="1")


async def nothing(request):
    return None


async def stream(request):
    answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await answer.prepare(request.raw)
    await answer.write(b"hello")
    return answer


async def broken_stream(request):
    answer = web.StreamResponse()
    await answer.prepare(request.raw)
    await answer.write(b"hello")
    raise ValueError("secret in a stream")


async def crash(request):
    raise ValueError("secret-7 in a traceback")


async def too_poor(request):
    raise BudgetExceededError("Ask for more.", retry_with=[{"budget": "b1"}], budgetId="b1")


async def too_fast(request):
    raise RateLimitedError("Slow down.", retry_after=1.2)


async def forever(request):
    await asyncio.Event().wait()


async def redirect(request):
    raise web.HTTPFound("/api/elsewhere")


async def teapot(request):
    raise web.HTTPUnprocessableEntity(text="The file is no picture.")


async def conflict(request):
    raise ConflictError("There is one already.", key=["email"])


def get(handler, **given):
    return Route("GET", "/api/x", handler, PUBLIC, **given)


async def test_document_leaves_through_the_public_model(serve):
    house = await serve(get(one, returns=Story))
    answer = await house.call("GET", "/api/x")
    assert (answer.status, answer.data) == (200, {"id": "1", "storyTitle": "A"})
    assert answer.type == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_list_and_status_of_the_route_are_used(serve):
    house = await serve(get(several, returns=Story, many=True, status=202))
    answer = await house.call("GET", "/api/x")
    assert (answer.status, [item["id"] for item in answer.data]) == (202, ["1", "2"])


async def test_page_has_items_and_next_cursor(serve):
    house = await serve(get(page, returns=Story, many=True))
    assert (await house.call("GET", "/api/x")).data == {
        "items": [{"id": "1", "storyTitle": "untitled"}],
        "nextCursor": "next",
    }


async def test_model_needs_no_returns(serve):
    house = await serve(get(model))
    assert (await house.call("GET", "/api/x")).data == {"id": "1", "storyTitle": "untitled"}


async def test_none_is_204(serve):
    house = await serve(get(nothing))
    answer = await house.call("GET", "/api/x")
    assert (answer.status, answer.body) == (204, b"")


async def test_undeclared_document_is_a_reported_500(serve):
    house = await serve(get(one))
    answer = await house.call("GET", "/api/x")
    assert answer.status == 500
    assert b"owner_hash" not in answer.body
    assert "returns" in str(house.errors[0])


async def test_stream_passes_with_the_common_headers(serve):
    house = await serve(get(stream))
    answer = await house.call("GET", "/api/x")
    assert answer.body == b"hello"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert len(answer.headers["X-Request-Id"]) == 26


async def test_stream_that_breaks_is_cut_and_reported(serve):
    house = await serve(get(broken_stream))
    with pytest.raises(Exception, match=r"payload|Connection|Response|transfer"):
        await house.call("GET", "/api/x")
    assert isinstance(house.errors[0], ValueError)


async def test_unexpected_error_is_500_without_its_text(serve):
    house = await serve(get(crash))
    answer = await house.call("GET", "/api/x")
    assert (answer.status, answer.data["code"], answer.type) == (
        500,
        "internal_error",
        "application/problem+json",
    )
    assert b"secret-7" not in answer.body
    assert b"Traceback" not in answer.body
    assert str(house.errors[0]) == "secret-7 in a traceback"


async def test_studio_error_keeps_its_members(serve):
    house = await serve(get(too_poor))
    answer = await house.call("GET", "/api/x")
    request_id = answer.headers["X-Request-Id"]
    assert answer.data == {
        "type": "/problems/budget_exceeded",
        "title": "Budget exceeded",
        "status": 402,
        "code": "budget_exceeded",
        "detail": "Ask for more.",
        "requestId": request_id,
        "retryWith": [{"budget": "b1"}],
        "budgetId": "b1",
    }
    assert house.errors == []


async def test_extra_members_cannot_hide_the_status(serve):
    async def liar(request):
        raise ConflictError("no", status=200, code="liar", type="x")

    house = await serve(get(liar))
    answer = await house.call("GET", "/api/x")
    assert (answer.status, answer.data["status"], answer.data["type"]) == (409, 409, "/problems/liar")


async def test_retry_after_is_rounded_up(serve):
    house = await serve(get(too_fast))
    answer = await house.call("GET", "/api/x")
    assert (answer.status, answer.headers["Retry-After"]) == (429, "2")


async def test_aiohttp_errors_become_problems_with_their_text(serve):
    house = await serve(get(teapot))
    answer = await house.call("GET", "/api/x")
    assert (answer.status, answer.data["detail"]) == (422, "The file is no picture.")


async def test_redirect_passes(serve):
    house = await serve(get(redirect))
    answer = await house.call("GET", "/api/x")
    assert (answer.status, answer.headers["Location"]) == (302, "/api/elsewhere")
    assert house.observed[0][2] == 302


async def test_unknown_address_is_a_404_problem(serve):
    house = await serve(get(one, returns=Story))
    answer = await house.call("GET", "/api/y")
    assert (answer.status, answer.data["code"], answer.type) == (404, "not_found", "application/problem+json")
    assert house.observed[0][:3] == ("unmatched", "GET", 404)


async def test_wrong_method_is_405_with_allow(serve):
    house = await serve(get(one, returns=Story), Route("POST", "/api/x", nothing, PUBLIC))
    answer = await house.call("DELETE", "/api/x")
    assert (answer.status, answer.data["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET,HEAD,POST"


async def test_head_answers_like_get_without_a_body(serve):
    house = await serve(get(one, returns=Story))
    answer = await house.call("HEAD", "/api/x")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Type"] == "application/json"


async def test_deadline_of_the_route_is_504(serve):
    house = await serve(get(forever, deadline_s=0.01))
    answer = await house.call("GET", "/api/x")
    assert (answer.status, answer.data["code"]) == (504, "deadline_exceeded")


async def test_configured_deadline_is_504_unless_the_route_has_none(serve):
    house = await serve(
        Route("GET", "/api/a", forever, PUBLIC),
        Route("GET", "/api/b", slow_but_fine, PUBLIC, deadline_s=0),
        web=WebSettings(deadline_s=0.01),
    )
    assert (await house.call("GET", "/api/a")).status == 504
    assert (await house.call("GET", "/api/b")).status == 204


async def slow_but_fine(request):
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0.03, done.set)
    await done.wait()


async def test_sane_request_id_is_kept_and_another_replaced(serve):
    house = await serve(get(one, returns=Story))
    kept = await house.call("GET", "/api/x", headers={"X-Request-Id": "trace-1234.a_b"})
    assert kept.headers["X-Request-Id"] == "trace-1234.a_b"
    for bad in ("short", "a" * 65, "has space inside", "<script>alert(1)</script>"):
        answer = await house.call("GET", "/api/x", headers={"X-Request-Id": bad})
        assert answer.headers["X-Request-Id"] != bad


async def test_server_version_is_not_told(serve):
    house = await serve(get(one, returns=Story))
    for path in ("/api/x", "/nowhere"):
        assert (await house.call("GET", path)).headers["Server"] == "studio"


async def test_requests_are_observed_by_template(serve):
    house = await serve(Route("GET", "/api/stories/{story_id}", model, PUBLIC))
    await house.call("GET", "/api/stories/42")
    template, method, status, seconds = house.observed[0]
    assert (template, method, status) == ("/api/stories/{story_id}", "GET", 200)
    assert 0 < seconds < 5


async def test_client_that_drops_mid_body_is_499_and_no_error(serve, caplog):
    async def read_all(request):
        await request.raw.read()

    house = await serve(Route("POST", "/api/x", read_all, PUBLIC))
    _, writer = await asyncio.open_connection("127.0.0.1", house.client.port)
    writer.write(b"POST /api/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(20):
        while not house.observed:
            await house.call("GET", "/nowhere")
            house.observed[:] = [figures for figures in house.observed if figures[1] == "POST"]
    assert house.observed[0][:3] == ("/api/x", "POST", 499)
    assert house.errors == []
    assert "Traceback" not in caplog.text


async def test_refused_connection_of_ours_is_no_client_drop(serve):
    async def call_out(request):
        raise ConnectionRefusedError("127.0.0.1:9")

    house = await serve(get(call_out))
    assert (await house.call("GET", "/api/x")).status == 500
    assert isinstance(house.errors[0], ConnectionRefusedError)


ORIGIN = "https://front.example"
PREFLIGHT: dict[str, Any] = {"Access-Control-Request-Method": "PUT"}


async def test_preflight_of_a_listed_origin_is_answered(serve):
    house = await serve(get(one, returns=Story), web=WebSettings(cors_origins=[ORIGIN]))
    answer = await house.call("OPTIONS", "/api/x", None, headers={"Origin": ORIGIN, **PREFLIGHT})
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert "Idempotency-Key" in answer.headers["Access-Control-Allow-Headers"]
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
    allowed = set(answer.headers["Access-Control-Allow-Headers"].split(", "))
    assert {"If-Match", "If-None-Match", "Last-Event-ID", "Range"} <= allowed


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://front.example.evil.example"])
async def test_other_origins_get_no_cors_headers(serve, origin):
    house = await serve(get(one, returns=Story), web=WebSettings(cors_origins=[ORIGIN]))
    for method, extra in (("OPTIONS", PREFLIGHT), ("GET", {})):
        answer = await house.call(method, "/api/x", None, headers={"Origin": origin, **extra})
        assert not [name for name in answer.headers if name.startswith("Access-Control")]
        assert answer.headers["Vary"] == "Origin"


async def test_errors_can_be_read_by_a_listed_origin(serve):
    house = await serve(get(crash), web=WebSettings(cors_origins=[ORIGIN]))
    answer = await house.call("GET", "/api/x", None, headers={"Origin": ORIGIN})
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (500, ORIGIN)
    exposed = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
    assert {"X-Request-Id", "Content-Disposition", "Content-Range", "Accept-Ranges"} <= exposed


@pytest.mark.parametrize("origin", ["*", "null", "app.example", "https://app.example/", "https://*.example"])
def test_origin_that_names_no_site_is_refused_when_the_configuration_is_read(origin):
    with pytest.raises(ValueError, match="cors_origins"):
        WebSettings(cors_origins=[origin])


async def test_options_without_cors_is_405(serve):
    house = await serve(get(one, returns=Story))
    assert (await house.call("OPTIONS", "/api/x", None)).status == 405
