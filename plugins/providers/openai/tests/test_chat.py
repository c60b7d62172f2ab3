"""Chat over both interfaces: whole, in pieces, with a schema, with tools, in the background, with webhooks."""

from __future__ import annotations

import json
import time

import pytest

from studio import (
    BadRequestError,
    ChatMessage,
    ChatRequest,
    ChatTool,
    OutcomeUnknownError,
    ProviderRejectedError,
    ProviderUnavailableError,
    ToolCall,
    UnauthenticatedError,
    UnavailableError,
    WebhookCall,
    price_of,
)
from studio_openai.api import priced
from studio_openai.api.chat import most_tokens
from studio_openai.prices import Price

pytestmark = pytest.mark.http
APIS = ("responses", "chat_completions")
each_api = pytest.mark.parametrize("api", APIS)
STRICT = {
    "title": "Mood of a scene",
    "type": "object",
    "properties": {"mood": {"type": "string"}},
    "required": ["mood"],
    "additionalProperties": False,
}
TOOL = ChatTool(name="weather", description="The weather", parameters={"type": "object", "properties": {}})
PRICES = {"gpt-5.4-mini": {"kind": "per_1m_tokens", "unit_uusd": 750_000, "output_uusd": 4_500_000}}
MODEL = priced(["gpt-5.4-mini"], {name: Price(**price) for name, price in PRICES.items()})[0]


async def read(stream):
    deltas = [delta async for delta in stream]
    assert all(delta.done is None for delta in deltas[:-1])
    return [delta.text for delta in deltas[:-1]], deltas[-1].done


@each_api
async def test_an_answer_comes_at_once_with_its_usage(provider, fake, tools, api):
    done = await provider("chat", fake, chat_api=api).submit(tools.ask())
    assert (done.state, done.data["text"], done.data["stop"]) == ("succeeded", "Rain on the harbour.", "stop")
    counts = {"input_tokens": 12, "output_tokens": 5, "cached_tokens": 4, "reasoning_tokens": 2}
    assert done.data["usage"] == counts
    assert done.usage == counts | {"calls": 1}
    assert done.provider_job_id.startswith("resp_" if api == "responses" else "chatcmpl-")
    assert done.cost_uusd is None


@each_api
async def test_a_price_that_the_operator_has_set_is_counted_by_tokens(provider, fake, tools, api):
    chat = provider("chat", fake, chat_api=api, prices=PRICES)
    done = await chat.submit(tools.ask())
    assert done.cost_uusd is None  # the vendor reports none: the kernel prices what was used
    # 12 tokens at 0.75 USD and 5 at 4.50 USD per million, each rounded up
    assert price_of(MODEL, done.usage) == 9 + 23
    assert 225 + 450 <= chat.estimate(tools.ask("x" * 300, max_output_tokens=100)).cost_uusd <= 330 + 450
    assert provider("chat", fake).estimate(tools.ask()).cost_uusd is None


@each_api
async def test_a_stream_gives_the_words_and_at_the_end_the_whole(provider, fake, tools, api):
    fake.answer = "Regen über dem Hafen — 雨."
    words, done = await read(provider("chat", fake, chat_api=api).stream(tools.ask()))
    assert len(words) > 3
    assert "".join(words) == done.data["text"] == "Regen über dem Hafen — 雨."
    assert done.usage["output_tokens"] == 5
    assert done.data["stop"] == "stop"


async def test_structured_output_is_flat_in_one_interface_and_nested_in_the_other(provider, fake, tools):
    for api in APIS:
        done = await provider("chat", fake, chat_api=api).submit(tools.ask(json_schema=STRICT))
        assert done.data["json"] == {"mood": "calm"}
    named = {"name": "Mood_of_a_scene", "schema": STRICT, "strict": True}
    first, second = (call.json for call in fake.calls)
    assert first["text"] == {"format": {"type": "json_schema", **named}}
    assert second["response_format"] == {"type": "json_schema", "json_schema": named}


@each_api
async def test_a_schema_that_strict_mode_refuses_is_sent_without_it(provider, fake, tools, api):
    open_schema = {k: v for k, v in STRICT.items() if k != "additionalProperties"}
    chat = provider("chat", fake, chat_api=api)
    assert (await chat.submit(tools.ask(json_schema=open_schema))).data["json"] == {"mood": "calm"}
    nested = STRICT | {"properties": {"mood": {"type": "array", "items": open_schema}}}
    assert (await chat.submit(tools.ask(json_schema=nested))).state == "succeeded"
    assert b'"strict":false' in fake.calls[0].body
    assert b'"strict":false' in fake.calls[1].body


@each_api
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_is_called_and_its_answer_goes_back(provider, fake, tools, api, streamed):
    chat = provider("chat", fake, chat_api=api)
    request = tools.ask("tool", tools=(TOOL,))
    done = (await read(chat.stream(request)))[1] if streamed else await chat.submit(request)
    assert done.data["tool_calls"] == [{"id": "call_1", "name": "weather", "arguments": {"place": "harbour"}}]
    assert done.data["stop"] == "tool_calls"
    call = ToolCall.model_validate(done.data["tool_calls"][0])
    turns = (
        ChatMessage(role="user", text="tool"),
        ChatMessage(role="assistant", tool_calls=(call,)),
        ChatMessage(role="tool", tool_call_id="call_1", text="rain"),
        ChatMessage(role="user", text="and now?"),
    )
    await chat.submit(ChatRequest(job_id="j2", messages=turns))
    body = fake.calls[-1].json
    if api == "responses":
        assert body["input"][1]["type"] == "function_call"
        assert body["input"][2] == {"type": "function_call_output", "call_id": "call_1", "output": "rain"}
    else:
        assert body["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"place":"harbour"}'
        assert body["messages"][2] == {"role": "tool", "tool_call_id": "call_1", "content": "rain"}


@each_api
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("word", ["refuse", "withhold"])
async def test_a_refusal_of_the_model_is_a_failure_that_is_charged(
    provider, fake, tools, api, streamed, word
):
    chat = provider("chat", fake, chat_api=api, prices=PRICES)
    done = (await read(chat.stream(tools.ask(word))))[1] if streamed else await chat.submit(tools.ask(word))
    assert (done.state, done.error.code, done.error.input) == ("failed", "content_policy_violation", "prompt")
    assert not done.error.retryable
    assert (done.cost_uusd, price_of(MODEL, done.usage)) == (None, 32)


@each_api
async def test_an_answer_that_was_cut_says_so(provider, fake, tools, api):
    chat = provider("chat", fake, chat_api=api)
    done = await chat.submit(tools.ask("cut"))
    assert (done.state, done.data["stop"], done.data["text"]) == ("succeeded", "length", "Rain o")
    done = await chat.submit(tools.ask("cut", json_schema=STRICT))
    assert (done.state, done.error.code) == ("failed", "answer_cut")


@each_api
async def test_a_stream_that_breaks_has_no_known_outcome(provider, fake, tools, api):
    with pytest.raises(OutcomeUnknownError):
        await read(provider("chat", fake, chat_api=api).stream(tools.ask("break")))


def events(*found):
    return "".join(f"data: {json.dumps(event)}\n\n" for event in found)


def said_by(api, *, text, usage=None, **how):
    """Return a stream that an error ends, as the vendor of `api` sends it."""
    error = {"code": "server_error", "message": "The model broke down."}
    if api == "responses":
        words = [{"type": "response.output_text.delta", "delta": text}] if text else []
        failed = {"id": "resp_1", "status": "failed", "error": error, "usage": usage}
        end = (
            {"type": "error", **error}
            if how.get("event")
            else {"type": "response.failed", "response": failed}
        )
        return events(*words, end)
    words = [{"choices": [{"delta": {"content": text}}]}] if text else []
    return events(*words, *([{"choices": [], "usage": usage}] if usage else []), {"error": error})


@each_api
@pytest.mark.parametrize("event", [True, False])
async def test_an_error_after_the_first_words_has_no_known_outcome(provider, tools, api, event):
    vendor = tools.canned(200, text=said_by(api, text="Rain", event=event))
    async with vendor.serving():
        with pytest.raises(OutcomeUnknownError, match="broke down"):
            await read(provider("chat", vendor, chat_api=api).stream(tools.ask()))


@each_api
async def test_an_error_before_the_first_word_is_a_failure_that_used_nothing(provider, tools, api):
    vendor = tools.canned(200, text=said_by(api, text="", event=True))
    async with vendor.serving():
        words, done = await read(provider("chat", vendor, chat_api=api).stream(tools.ask()))
    assert (words, done.state, done.error.code, done.usage) == ([], "failed", "provider_failed", {})


@each_api
async def test_an_error_at_the_end_of_a_stream_is_charged_by_its_usage(provider, tools, api):
    names = (
        ("input_tokens", "output_tokens") if api == "responses" else ("prompt_tokens", "completion_tokens")
    )
    vendor = tools.canned(200, text=said_by(api, text="Rain", usage=dict.fromkeys(names, 12)))
    async with vendor.serving():
        words, done = await read(provider("chat", vendor, chat_api=api).stream(tools.ask()))
    assert (words, done.state) == (["Rain"], "failed")
    assert (done.usage["input_tokens"], done.usage["output_tokens"]) == (12, 12)


@pytest.mark.parametrize("count", [-1, 10**13, "many"])
async def test_a_count_that_cannot_be_spoils_no_paid_answer(provider, tools, count):
    said = {"choices": [{"message": {"content": "Hello"}}]}
    vendor = tools.canned(200, said | {"usage": {"prompt_tokens": count, "completion_tokens": 3}})
    async with vendor.serving():
        done = await provider("chat", vendor, chat_api="chat_completions").submit(tools.ask())
    assert (done.data["text"], done.usage) == ("Hello", {"calls": 1})


@pytest.mark.pure
@pytest.mark.parametrize(
    ("changed", "least"),
    [
        ({"messages": (ChatMessage(role="user", text="雨" * 1_000),)}, 3_000),
        (
            {
                "messages": (
                    ChatMessage(
                        role="assistant",
                        tool_calls=(ToolCall(id="c", name="n", arguments={"place": "x" * 4_000}),),
                    ),
                )
            },
            4_000,
        ),
        ({"tools": (ChatTool(name="t", parameters={"type": "object", "title": "x" * 5_000}),)}, 5_000),
        ({"json_schema": {"type": "object", "title": "x" * 6_000}}, 6_000),
    ],
    ids=["text", "tool calls", "tools", "schema"],
)
def test_an_estimate_counts_every_byte_that_is_sent(tools, changed, least):
    request = ChatRequest(**{"job_id": "j", "messages": (ChatMessage(role="user", text="hi"),)} | changed)
    assert least <= most_tokens(request)["input_tokens"] < least + 250


@each_api
async def test_a_stream_that_is_refused_says_why(provider, fake, tools, openai_fakes, api):
    fake.refusals.append(openai_fakes.QUOTA)
    with pytest.raises(ProviderUnavailableError) as caught:
        await read(provider("chat", fake, chat_api=api).stream(tools.ask()))
    assert caught.value.code == "provider_quota_exceeded"
    assert len(fake.calls) == 1


@each_api
async def test_what_comes_at_once_cannot_be_asked_for(provider, fake, tools, api):
    chat = provider("chat", fake, chat_api=api)
    done = await chat.submit(tools.ask())
    with pytest.raises(ProviderRejectedError):
        await chat.poll(done.provider_job_id)
    assert await chat.cancel(done.provider_job_id) is False


async def test_only_what_runs_in_the_background_is_kept_at_the_vendor(provider, fake, tools):
    chat = provider("chat", fake)
    await chat.submit(tools.ask())
    await chat.submit(tools.ask(params={"background": True}))
    assert [call.json["store"] for call in fake.calls] == [False, True]


async def test_a_job_in_the_background_is_polled_to_its_end(provider, fake, tools):
    chat = provider("chat", fake, background=True, prices=PRICES)
    started = await chat.submit(tools.ask(json_schema=STRICT))
    assert (started.state, started.retry_after_s) == ("running", 2.0)
    again = provider("chat", fake, prices=PRICES)  # another process, which does not know the question
    assert (await again.poll(started.provider_job_id)).state == "running"
    done = await again.poll(started.provider_job_id)
    assert (done.state, done.data["json"], price_of(MODEL, done.usage)) == ("succeeded", {"mood": "calm"}, 32)


async def test_a_job_in_the_background_that_fails_says_why(provider, fake, tools):
    chat = provider("chat", fake, background=True)
    started = await chat.submit(tools.ask())
    fake.end(started.provider_job_id, "failed")
    failed = await chat.poll(started.provider_job_id)
    assert (failed.state, failed.error.code, failed.error.retryable) == ("failed", "provider_failed", True)


async def test_a_job_in_the_background_can_be_cancelled_until_it_ends(provider, fake, tools):
    chat = provider("chat", fake, background=True)
    first, second = [(await chat.submit(tools.ask())).provider_job_id for _ in range(2)]
    assert await chat.cancel(first) is True
    assert (await chat.poll(first)).state == "cancelled"
    await chat.poll(second)
    await chat.poll(second)
    assert await chat.cancel(second) is False
    assert (await chat.poll(second)).state == "succeeded"


@pytest.mark.parametrize("job_id", ["resp_../../files", "resp_1?x=1", "resp_é", "resp_1/cancel"])
async def test_an_id_that_is_no_id_never_leaves_the_house(provider, fake, job_id):
    with pytest.raises(ProviderRejectedError):
        await provider("chat", fake).poll(job_id)
    assert fake.calls == []


async def test_another_server_without_keys_speaks_chat_completions(provider, tools):
    said = {"choices": [{"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]}
    vendor = tools.canned(200, said)
    async with vendor.serving():
        done = await provider("chat", vendor, chat_api="auto", api_key=None).submit(tools.ask())
    assert (done.data["text"], done.provider_job_id) == ("Hello", "chat-job1-1")
    assert vendor.calls[0].path == "/v1/chat/completions"
    assert "authorization" not in vendor.calls[0].headers


async def test_the_caller_sets_no_address_no_header_and_no_key(provider, fake, tools):
    chat = provider("chat", fake, organization="org-1", project="proj_1")
    for name in ("base_url", "api_key", "headers", "extra_headers", "store", "stream", "user", "model"):
        with pytest.raises(ProviderRejectedError) as caught:
            await chat.submit(tools.ask(params={name: "http://127.0.0.1:9"}))
        assert caught.value.extra["input"] == "params"
    assert fake.calls == []
    await chat.submit(tools.ask(params={"reasoning_effort": "low", "verbosity": "low", "top_p": 0.5}))
    sent = fake.calls[0]
    assert sent.json["reasoning"] == {"effort": "low"}
    assert (sent.json["text"], sent.json["top_p"]) == ({"verbosity": "low"}, 0.5)
    assert sent.headers["authorization"] == "Bearer sk-fake-0123456789abcdef"
    assert (sent.headers["openai-organization"], sent.headers["openai-project"]) == ("org-1", "proj_1")


# ---------------------------------------------------------------- webhooks


def call_of(headers, body):
    return WebhookCall(path="/api/webhooks/openai/x", headers=headers, body=body, received_at=0)


@pytest.fixture
def listener(provider, fake, openai_fakes):
    return provider("chat", fake, webhook_secret=openai_fakes.SECRET)


async def test_a_signed_event_names_the_job(listener, fake):
    headers, body = fake.webhook("response.completed", "resp_1")
    news = await listener.parse_webhook(call_of(headers, body))
    assert (news.kind, news.provider_job_id, news.generation) == ("response.completed", "resp_1", None)
    assert (news.delivery_id, news.at_ms) == (headers["webhook-id"], 1764000001000)


async def test_an_event_about_something_else_names_no_job(listener, fake):
    news = await listener.parse_webhook(call_of(*fake.webhook("batch.completed", "batch_1")))
    assert news.provider_job_id is None


async def test_a_forged_event_is_refused(listener, fake):
    headers, body = fake.webhook("response.completed", "resp_1")
    old = fake.webhook("response.completed", "resp_1", int(time.time()) - 600)
    forged = [(headers, body.replace(b"resp_1", b"resp_2")), ({}, body), old]
    for found in forged:
        with pytest.raises(UnauthenticatedError):
            await listener.parse_webhook(call_of(*found))


async def test_a_signed_body_that_is_no_event_cannot_be_read(listener, fake, openai_fakes, monkeypatch):
    monkeypatch.setattr(openai_fakes.json, "dumps", lambda _: "nothing")
    headers, body = fake.webhook("x", "y")
    with pytest.raises(BadRequestError):
        await listener.parse_webhook(call_of(headers, body))


async def test_without_a_secret_no_signature_can_be_checked(provider, fake):
    with pytest.raises(UnavailableError):
        await provider("chat", fake).parse_webhook(call_of(*fake.webhook("response.completed", "resp_1")))
