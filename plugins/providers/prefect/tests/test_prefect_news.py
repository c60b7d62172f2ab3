"""What an automation tells: believed only with the secret, and never more than a hint."""

from __future__ import annotations

import json

import pytest

from studio import BadRequestError, UnauthenticatedError, UnavailableError, WebhookCall

pytestmark = pytest.mark.http
SECRET = "an automation's secret, 32 chars"
RUN = "0b8e5e64-58ae-4fb4-9c5e-0d3c5cf0f9a1"
NEWS = {"event_id": "e1", "flow_run_id": RUN, "state": "COMPLETED", "occurred": "2026-11-23T10:00:00.5Z"}


def call_of(headers, body=None, **more):
    body = json.dumps(NEWS).encode() if body is None else body
    return WebhookCall(path="/api/webhooks/prefect", headers=headers, body=body, received_at=1, **more)


@pytest.fixture
def read(runner_at):
    runner = runner_at(webhook_secret=SECRET)
    return lambda *args, **more: runner.parse_webhook(call_of(*args, **more))


async def test_news_names_the_run_and_the_server_is_to_be_asked(read):
    news = await read({"x-studio-secret": SECRET})
    assert (news.delivery_id, news.kind, news.provider_job_id) == ("e1", "COMPLETED", RUN)
    assert (news.generation, news.at_ms) == (None, 1_795_428_000_500)


async def test_without_an_event_id_run_state_and_time_tell_repetitions(read):
    body = {name: NEWS[name] for name in ("flow_run_id", "state", "occurred")}
    news = await read({"x-studio-secret": SECRET}, json.dumps(body).encode())
    assert news.delivery_id == f"{RUN}:COMPLETED:1795428000500"


async def test_the_header_may_have_another_name(runner_at):
    runner = runner_at(webhook_secret=SECRET, webhook_header="x-prefect-token")
    assert (await runner.parse_webhook(call_of({"x-prefect-token": SECRET}))).kind == "COMPLETED"
    with pytest.raises(UnauthenticatedError):
        await runner.parse_webhook(call_of({"x-studio-secret": SECRET}))


def forged():
    """Yield headers that must not be believed."""
    yield {}
    for name in (
        "x-studio-secre",
        "studio-secret",
        "authorization",
        "x-prefect-secret",
        "cookie",
        "x-studio-secret2",
    ):
        yield {name: SECRET}
    guesses = [
        "",
        " ",
        "null",
        "None",
        "undefined",
        "0",
        "*",
        "true",
        "secret",
        "a" * len(SECRET),
        "ä" * len(SECRET),
    ]
    guesses += [
        "\x00" * len(SECRET),
        "\udcff",
        "\U0001d7d8",
        SECRET[:-1],
        SECRET[1:],
        SECRET + " ",
        " " + SECRET,
    ]
    guesses += [
        SECRET + "\n",
        SECRET + "\x00",
        SECRET.upper(),
        SECRET.title(),
        SECRET[::-1],
        SECRET * 2,
        SECRET[:16],
    ]
    guesses += [f"Bearer {SECRET}", f'"{SECRET}"', f"{SECRET},{SECRET}", SECRET.encode().hex()]
    guesses += [SECRET.replace("'", "\u2019")]
    yield from ({"x-studio-secret": guess} for guess in guesses)


async def outcome(reading):
    try:
        return await reading
    except UnauthenticatedError as error:
        return error.code


async def test_no_forged_call_is_believed(read):
    cases = list(forged())
    assert len(cases) >= 30
    assert not [case for case in cases if await outcome(read(case)) != "webhook_signature"]


async def test_what_a_stranger_would_try_is_refused_whatever_the_body(read, load_fake):
    def sign(body, *, at_s=None, forged=False):
        return {"x-studio-secret": "another secret of the same shape" if forged else SECRET}

    body = json.dumps(NEWS).encode()
    cases = load_fake("forgeries").forgeries(sign(body), body, sign, body_signed=False)
    assert len(cases) >= 10
    believed = [
        what for what, headers, sent in cases if await outcome(read(headers, sent)) != "webhook_signature"
    ]
    assert not believed


async def test_the_secret_in_the_query_is_not_looked_at(read):
    with pytest.raises(UnauthenticatedError):
        await read({}, query=f"x-studio-secret={SECRET}")


@pytest.mark.parametrize(
    "change",
    [{"flow_run_id": "../x"}, {"flow_run_id": None}, {"state": ""}, {"state": "a b"}, {"event_id": "x" * 101},
     {"occurred": "yesterday"}],
)  # fmt: skip
async def test_a_body_that_is_no_news_is_a_bad_request(read, change):
    with pytest.raises(BadRequestError):
        await read({"x-studio-secret": SECRET}, json.dumps(NEWS | change).encode())


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"{", b"null"])
async def test_a_body_that_is_no_json_is_a_bad_request(read, body):
    with pytest.raises(BadRequestError):
        await read({"x-studio-secret": SECRET}, body)


async def test_without_a_secret_nothing_can_be_checked(runner_at):
    with pytest.raises(UnavailableError, match="STUDIO_PREFECT__WEBHOOK_SECRET"):
        await runner_at().parse_webhook(call_of({"x-studio-secret": ""}))
