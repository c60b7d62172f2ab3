"""Vendors' calls into a whole Studio."""

from __future__ import annotations

import asyncio
import gzip
import io
import json

import pytest
from yarl import URL

pytestmark = pytest.mark.http
CALL, INBOX = "/api/webhooks/vendor", "/api/webhooks/inbox"


def said(job, state="succeeded", **more):
    return json.dumps({"job": job, "state": state, **more}).encode()


async def post(studio, body, headers, path=CALL, **more):
    return await studio.call("POST", path, data=body, headers=headers, **more)


async def ended(root, delivery, timeout_s=20):
    """Return the inbox's record of a delivery once it has been worked on."""
    async with asyncio.timeout(timeout_s):
        while True:
            items = (await root.get(f"{INBOX}?limit=200")).json["items"]
            found = next((item for item in items if item["deliveryId"] == delivery), None)
            if found and found["state"] != "received":
                return found
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("provider", ["nobody", "silent", "inbox", "..%2Fvendor", "x" * 300])
async def test_unknown_provider_is_not_found(studio, sign, provider):
    answer = await post(studio, b"{}", sign(b"{}"), f"/api/webhooks/{provider}")
    assert answer.status in (404, 405), answer


async def test_provider_without_its_key_asks_the_vendor_to_come_again(studio, sign):
    assert (await post(studio, b"{}", sign(b"{}"), "/api/webhooks/keyless")).status == 503


async def test_good_signature_over_a_body_that_is_none_is_a_400(studio, sign):
    answer = await post(studio, b"[1, 2", sign(b"[1, 2"))
    assert (answer.status, answer.json["code"]) == (400, "bad_request")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_other_methods_are_not_allowed(studio, method):
    answer = await studio.call(method, CALL)
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/cloudevents+json", ""])
async def test_every_kind_of_content_is_taken(studio, sign, kind):
    body = b'{"type":"any"}'
    headers = sign(body) | ({"Content-Type": kind} if kind else {})
    answer = await post(studio, body, headers, skip_auto_headers=["Content-Type"])
    assert (answer.status, answer.json["duplicate"]) == (202, False)


async def test_a_body_that_is_too_large_is_refused_before_its_signature(studio, sign):
    parses = len(studio.vendor.parses)
    body = json.dumps({"type": "x" * 1_100_000}).encode()
    assert (await post(studio, io.BytesIO(body), sign(body))).status == 413

    async def pieces():
        for start in range(0, len(body), 50_000):
            yield body[start : start + 50_000]

    assert (await post(studio, pieces(), sign(body))).status == 413
    assert len(studio.vendor.parses) == parses


async def test_the_largest_body_is_taken(studio, sign):
    body = json.dumps({"type": "large", "pad": ""}).encode()
    body = body[:-2] + b"x" * (1_048_576 - len(body)) + body[-2:]
    assert (await post(studio, body, sign(body))).status == 202
    body += b" "
    assert (await post(studio, io.BytesIO(body), sign(body))).status == 413


async def test_encoded_body_is_refused(studio, sign):
    body = b'{"type":"gzip"}'
    answer = await post(studio, gzip.compress(body), sign(body) | {"Content-Encoding": "gzip"})
    assert answer.status == 415


async def test_the_vendor_sees_the_request_as_it_was_sent(studio, sign):
    body, path = b'{"type":"raw"}', "/api/webhooks/vendor/a%7Eb?token=x%2By&job=J+1"
    url = URL(studio._base + path, encoded=True)
    async with studio._session.post(url, data=body, headers=sign(body) | {"X-Twice": "1"}) as response:
        assert response.status == 202
    call = studio.vendor.parses[-1]
    assert (call.method, call.path, call.query) == (
        "POST",
        "/api/webhooks/vendor/a%7Eb",
        "token=x%2By&job=J+1",
    )
    assert (call.body, call.headers["x-twice"]) == (body, "1")


async def test_header_that_comes_twice_is_no_good_signature(studio, sign):
    body = b'{"type":"twice"}'
    good = sign(body)
    headers = [*good.items(), ("webhook-signature", "v1,AAAA")]
    async with studio._session.post(studio._base + CALL, data=body, headers=headers) as response:
        assert response.status == 401


async def test_header_that_is_no_text_does_not_cost_a_good_call(studio, root, sign, caplog):
    caplog.set_level("ERROR", "aiohttp.access")  # such a header in a kept log line breaks a parallel test run
    body, address = b'{"type":"bytes"}', URL(studio._base)
    lines = [f"{name}: {value}".encode() for name, value in sign(body).items()]
    lines += [
        b"Host: studio",
        b"User-Agent: caf\xe9",
        b"$x.y: 1",
        b"Connection: close",
        b"Content-Length: 16",
    ]
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(b"POST /api/webhooks/vendor HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + body)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 202"), answer
    call = await ended(root, json.loads(answer.partition(b"\r\n\r\n")[2])["deliveryId"])
    headers = (await root.get(f"{INBOX}/{call['id']}")).json["headers"]
    assert (headers["user-agent"], headers["$x.y"]) == ("caf\ufffd", "1")


async def test_bad_token_of_ours_does_not_disturb(studio, sign):
    body = b'{"type":"token"}'
    answer = await post(studio, body, sign(body) | {"Authorization": "Bearer x", "Idempotency-Key": "same"})
    assert answer.status == 202
    again = await post(studio, body, sign(body) | {"Idempotency-Key": "same"})
    assert (again.status, again.json["duplicate"]) == (202, False), "only the delivery id counts"


async def test_job_ends_when_the_vendor_calls_its_address(studio, root, sign, order, until):
    job = await order(studio)
    address = studio.vendor.requests[-1].callback_url
    assert address.startswith(f"https://studio.example.com{CALL}?job={job['_id']}&attempt=1&token=")
    path = address.removeprefix("https://studio.example.com")
    running, done = said(job["provider_job_id"], "running", percent=40), said(job["provider_job_id"])
    assert (await post(studio, running, sign(running), path)).status == 202
    answer = await post(studio, done, sign(done), path)
    assert answer.status == 202
    await until(studio, job["_id"], "succeeded")
    call = await ended(root, answer.json["deliveryId"])
    assert (call["state"], call["jobId"], call["attempts"]) == ("processed", job["_id"], 1)
    late = await post(studio, running, sign(running), path)
    assert (await ended(root, late.json["deliveryId"]))["state"] == "ignored"
    assert (await studio.studio.services.jobs.get(job["_id"]))["state"] == "succeeded"
    assert [found for found in studio.accepted if found[0] == job["_id"]] == [
        (job["_id"], {"note": "from the call"}, False)
    ]


async def test_a_call_with_another_jobs_token_does_nothing(studio, root, sign, order):
    job, other = await order(studio), await order(studio)
    path = studio.vendor.requests[-1].callback_url.removeprefix("https://studio.example.com")
    body = said(job["provider_job_id"], "failed")
    answer = await post(studio, body, sign(body), path)
    call = await ended(root, answer.json["deliveryId"])
    assert (call["state"], call["errorCode"]) == ("dead", "webhook_token")
    for found in (job, other):
        assert (await studio.studio.services.jobs.get(found["_id"]))["state"] == "submitted"


async def test_a_call_that_overtakes_the_submit_is_heard_later(studio, root, sign, order, until):
    early = "v-later"
    answer = await post(studio, said(early), sign(said(early)))
    job = await order(studio)
    await studio.studio.services.database["jobs"].update(job["_id"], {"$set": {"provider_job_id": early}})
    await until(studio, job["_id"], "succeeded")
    assert (await ended(root, answer.json["deliveryId"]))["attempts"] >= 1


async def test_inbox_shows_what_came_without_secrets_and_replays_it(studio, root, sign):
    body = b'{"type":"email.bounced","text":"\xc3\xbc"}'
    answer = await post(studio, body, sign(body), f"{CALL}/second?token=hidden")
    call = await ended(root, answer.json["deliveryId"])
    assert (call["kind"], call["account"], call["state"]) == ("email.bounced", "second", "processed")
    assert not call.keys() & {"body", "headers", "news", "addressToken"}
    shown = await root.get(f"{INBOX}/{call['id']}")
    assert shown.json["body"] == body.decode()
    assert shown.json["headers"]["webhook-signature"] == "[redacted]"
    assert b"hidden" not in shown.bytes
    assert (await root.post(f"{INBOX}/{call['id']}/replay")).json["state"] == "received"
    assert (await ended(root, answer.json["deliveryId"]))["state"] == "processed"
    listed = (await root.get(f"{INBOX}?provider=vendor&state=processed&limit=1")).json
    assert len(listed["items"]) == 1
    assert (await root.get(f"{INBOX}?state=lost")).status == 422
    assert (await root.get(f"{INBOX}/nobody")).status == 404


async def test_inbox_is_for_operators_only(studio):
    anyone = await studio.sign_in("anyone@example.org")
    for method, path in (("GET", INBOX), ("GET", f"{INBOX}/x"), ("POST", f"{INBOX}/x/replay")):
        assert (await anyone.call(method, path)).status == 403
        assert (await studio.call(method, path)).status == 401


async def test_figures_stand_among_the_metrics(root):
    text = (await root.get("/metrics")).bytes.decode()
    for name in ("taken", "refused", "waiting", "dead"):
        assert f"\nstudio_webhooks_{name} " in text


async def test_flood_of_bad_signatures_is_held_off_before_the_body_is_read(serve, tmp_path, sign):
    body = b'{"type":"flood"}'
    async with serve(tmp_path, STUDIO_WEBHOOKS__REFUSED_CALLS="3") as studio:
        statuses = [(await post(studio, body, sign(body, forged=True))).status for _ in range(5)]
        assert statuses == [401, 401, 401, 429, 429]
        refused = await post(studio, body, sign(body))
        assert (refused.status, refused.json["code"]) == (429, "rate_limited")
        assert int(refused.headers["Retry-After"]) <= 60


async def test_vendor_is_never_limited(serve, tmp_path, sign):
    async with serve(tmp_path, STUDIO_LIMITS__ALL="3/600", STUDIO_LIMITS__CREATE="1/600") as studio:
        body = b'{"type":"many"}'
        answers = await asyncio.gather(*(post(studio, body, sign(body)) for _ in range(40)))
        assert {answer.status for answer in answers} == {202}
