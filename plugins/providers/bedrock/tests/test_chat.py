"""Chat against the vendor's fake, through the wrapper that features use."""

from __future__ import annotations

import json

import pytest

import studio
from studio import (
    SYSTEM,
    Actor,
    ChatMessage,
    ChatRequest,
    ChatTool,
    InvalidInputError,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    ToolCall,
)
from studio_bedrock.api import BedrockModelId, BedrockText, JsonSchema

pytestmark = pytest.mark.http
SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}},
    "required": ["title"],
    "additionalProperties": False,
}
ARN = (
    "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fglobal.anthropic.claude-sonnet-4-6"
)
PRICES = json.dumps(
    {
        BedrockModelId.CLAUDE_SONNET_4_6: {
            "input": 3_000_000,
            "output": 15_000_000,
            "cache_read": 300_000,
            "cache_write": 6_000_000,
        }
    }
)


def ask(text="Hello", **changes):
    return ChatRequest(**{"job_id": "job-1", "messages": (ChatMessage(role="user", text=text),)} | changes)


async def streamed(chat, request):
    pieces = [piece async for piece in chat.stream(request)]
    assert all(piece.done is None for piece in pieces[:-1])
    return "".join(piece.text for piece in pieces[:-1]), pieces[-1].done


async def test_answer_comes_with_its_call(chat, fake):
    fake.say("Good evening.")
    generation = await chat.submit(ask())
    assert (generation.state, generation.provider_job_id) == ("succeeded", "request-1")
    assert generation.data["text"] == "Good evening."
    assert generation.usage == {"input_tokens": 12, "output_tokens": 5}
    assert generation.cost_uusd is None


async def test_arn_is_one_segment_of_the_path(fakes, fake, open_chat, monkeypatch):
    seen = []
    model = fake.model

    async def record(request):
        seen.append(request.raw_path)
        return await model(request)

    monkeypatch.setattr(fake, "model", record)
    async with fake.serving(), open_chat(base_url=fake.url) as chat:
        await chat.submit(ask())
    assert seen == [f"/model/{ARN}/converse"]


async def test_streamed_answer_is_the_whole_one(chat, fake):
    fake.say(
        "The night is dark. Ünd still.",
        calls=[("t1", "find_shot", {"code": "3B", "deep": {"a": [1]}}), ("t2", "list", {})],
    )
    text, done = await streamed(chat, ask())
    assert text == done.data["text"] == "The night is dark. Ünd still."
    assert done.data["stop"] == "tool_calls"
    assert [ToolCall(**call) for call in done.data["tool_calls"]] == [
        ToolCall(id="t1", name="find_shot", arguments={"code": "3B", "deep": {"a": [1]}}),
        ToolCall(id="t2", name="list", arguments={}),
    ]
    assert (done.state, done.provider_job_id, done.usage) == (
        "succeeded",
        "request-1",
        {"input_tokens": 12, "output_tokens": 5},
    )
    assert fake.calls[0].path.endswith("/converse-stream")


async def test_json_is_asked_for_and_parsed_in_both_ways(chat):
    assert (await chat.submit(ask(json_schema=SCHEMA))).data["json"] == {"title": "x"}
    _, done = await streamed(chat, ask(json_schema=SCHEMA))
    assert done.data["json"] == {"title": "x"}


async def test_conversation_with_tools_goes_round(chat, fake):
    tool = ChatTool(name="find_shot", description="Finds", parameters={"type": "object"})
    fake.say(calls=[("t1", "find_shot", {"code": "3B"})])
    first = await chat.submit(ask(tools=(tool,)))
    call = ToolCall(**first.data["tool_calls"][0])
    messages = (
        ChatMessage(role="user", text="Hello"),
        ChatMessage(role="assistant", tool_calls=(call,)),
        ChatMessage(role="tool", text="a wide shot", tool_call_id=call.id),
    )
    fake.say("It is wide.")
    assert (await chat.submit(ask(messages=messages, tools=(tool,)))).data["text"] == "It is wide."


async def test_cost_counts_the_cache(open_chat, fake):
    usage = {
        "inputTokens": 10,
        "outputTokens": 20,
        "totalTokens": 1130,
        "cacheReadInputTokens": 1000,
        "cacheWriteInputTokens": 100,
    }
    async with open_chat(prices=json.loads(PRICES)) as chat:
        fake.say("Hi", usage=usage)
        generation = await chat.submit(ask())
        assert generation.cost_uusd == 10 * 3 + 20 * 15 + 300 + 100 * 6
        assert generation.cost_source == "computed"
        fake.say("Hi", usage=usage)
        assert (await streamed(chat, ask()))[1].cost_uusd == generation.cost_uusd
        estimate = chat.estimate(ask("x" * 300, max_output_tokens=100)).cost_uusd
        assert 300 * 6 + 1500 <= estimate <= 420 * 6 + 1500  # a byte each, as if all went into the cache
        assert chat.estimate(ask(model=BedrockModelId.CLAUDE_HAIKU_4_5)).cost_uusd is None
        kinds = {model.name: model.price_kind for model in chat.spec.models}
    assert kinds["global.anthropic.claude-sonnet-4-6"] == "per_1m_tokens"
    assert kinds["global.anthropic.claude-haiku-4-5-20251001-v1:0"] == "unknown"


async def test_other_profiles_are_those_of_the_configuration(open_chat, fake):
    async with open_chat(profiles=["us.amazon.nova-pro-v1:0"]) as chat:
        await chat.submit(ask(model="us.amazon.nova-pro-v1:0"))
        with pytest.raises(ProviderRejectedError) as raised:
            await chat.submit(ask(model="../../other"))
    assert raised.value.extra["input"] == "model"
    assert len(fake.calls) == 1


@pytest.mark.parametrize(
    ("word", "error", "code"),
    [
        ("ThrottlingException", ProviderError, "provider_rate_limited"),
        ("ModelNotReadyException", ProviderError, "provider_rate_limited"),
        ("ServiceUnavailableException", ProviderError, "provider_overloaded"),
        ("ModelTimeoutException", OutcomeUnknownError, "outcome_unknown"),
        ("ModelErrorException", OutcomeUnknownError, "outcome_unknown"),
        ("InternalServerException", OutcomeUnknownError, "outcome_unknown"),
        ("ValidationException", ProviderRejectedError, "provider_rejected"),
        ("AccessDeniedException", ProviderUnavailableError, "provider_key_refused"),
        ("ResourceNotFoundException", ProviderRejectedError, "model_not_found"),
        ("ServiceQuotaExceededException", ProviderRejectedError, "provider_quota_exceeded"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("way", ["whole", "streamed"])
async def test_error_of_the_vendor_is_sent_once_and_told(chat, fake, word, error, code, way):
    fake.refuse(word)
    with pytest.raises(error) as raised:
        await (chat.submit(ask()) if way == "whole" else streamed(chat, ask()))
    assert (type(raised.value), raised.value.code) == (error, code)
    assert len(fake.calls) == 1


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("429", ProviderError), ("500", OutcomeUnknownError), ("503", OutcomeUnknownError),
        ("413", ProviderRejectedError),
        ("422", ProviderRejectedError), ("cut", OutcomeUnknownError), ("lost", OutcomeUnknownError),
        ("malformed", OutcomeUnknownError), ("wrong_type", OutcomeUnknownError), ("redirect", ProviderRejectedError),
        ("huge", OutcomeUnknownError),
    ],
)  # fmt: skip
@pytest.mark.parametrize("way", ["whole", "streamed"])
async def test_question_is_sent_once_whatever_goes_wrong(chat, fake, mode, error, way):
    fake.fail(mode)
    with pytest.raises(error) as raised:
        await (chat.submit(ask()) if way == "whole" else streamed(chat, ask()))
    assert type(raised.value) is error
    assert len(fake.calls) == 1


@pytest.mark.parametrize("mode", ["late", "endless"])
@pytest.mark.parametrize("way", ["whole", "streamed"])
async def test_question_that_takes_too_long_has_an_unknown_outcome(open_chat, fake, mode, way):
    fake.fail(mode)
    async with open_chat(deadline_s=0.15) as chat:
        with pytest.raises(OutcomeUnknownError):
            await (chat.submit(ask()) if way == "whole" else streamed(chat, ask()))
    assert len(fake.calls) == 1


@pytest.mark.parametrize(
    "fault", ["cut", "bad_crc", "no_end", "throttlingException", "modelStreamErrorException"]
)
async def test_stream_that_breaks_has_an_unknown_outcome(chat, fake, fault):
    fake.stream_fault = fault
    fake.say("A long answer that breaks off somewhere.")
    with pytest.raises(OutcomeUnknownError):
        await streamed(chat, ask())


async def test_validation_inside_the_stream_is_a_refusal(chat, fake):
    fake.stream_fault = "validationException"
    fake.say("x")
    with pytest.raises(ProviderRejectedError):
        await streamed(chat, ask())


async def test_reader_that_goes_away_ends_the_call(chat, fake):
    fake.say("word " * 2_000)
    pieces = chat.stream(ask())
    assert (await anext(pieces)).text
    await pieces.aclose()
    fake.say("again")
    assert (await chat.submit(ask())).data["text"] == "again"


async def test_poll_and_cancel_say_that_there_is_nothing(chat):
    with pytest.raises(ProviderRejectedError):
        await chat.poll("request-1")
    assert await chat.cancel("request-1") is False


# ---------------------------------------------------------------- generate_text


@pytest.fixture
def platform(started, fake, fakes):
    def start(**more):
        named = {
            "STUDIO_BEDROCK__BASE_URL": fake.url,
            "STUDIO_BEDROCK__ACCOUNT_ID": fakes.ACCOUNT,
            "AWS_BEARER_TOKEN_BEDROCK": fakes.KEY,
        }
        return started(**named | more)

    return start


OURS = {"actor": SYSTEM, "project_id": ""}


def text_of(studio):
    return studio.loader.records["bedrock"].ctx.service(BedrockText)


async def test_generate_text_is_what_the_original_offers(platform, fake):
    wanted = {"name": "CharacterOutput", "description": "Structured character response", "schema": SCHEMA}
    async with platform(STUDIO_BEDROCK__PRICES=PRICES) as studio:
        answer = await text_of(studio).generate_text(
            "Generate character metadata",
            "Return valid JSON only",
            BedrockModelId.CLAUDE_SONNET_4_6,
            wanted,
            **OURS,
        )
        same = await text_of(studio).generate_text("Go", json_schema=JsonSchema(schema=SCHEMA), **OURS)
    assert (answer.json_, answer.stop, answer.cost_uusd) == ({"title": "x"}, "stop", 12 * 3 + 5 * 15)
    assert same.json_ == {"title": "x"}
    body = fake.calls[0].json
    assert body["system"] == [
        {"text": "Return valid JSON only"},
        {"cachePoint": {"type": "default", "ttl": "1h"}},
    ]
    shape = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert (shape["name"], shape["description"]) == ("CharacterOutput", "Structured character response")
    assert "system" not in fake.calls[1].json


async def test_generate_text_holds_and_settles_its_cost(platform, fake, monkeypatch):
    asked = []
    async with platform(STUDIO_BEDROCK__PRICES=PRICES) as studio:
        owner = studio.loader.records["free"].plugin
        first = studio.dispatcher.first

        async def listen(hook, payload):
            asked.append((hook, payload))
            return await first(hook, payload)

        monkeypatch.setattr(studio.dispatcher, "first", listen)
        await text_of(studio).generate_text("Hi", actor=Actor("u1"), project_id="p1")
        assert owner.manifest.name == "free"
    (held, hold), (settled, settlement) = asked
    assert (held, hold.project_id, hold.user_id, hold.provider) == (
        "hold_cost",
        "p1",
        "u1",
        "bedrock",
    )
    assert hold.amount_uusd > 0
    assert (settled, settlement.kind, settlement.amount_uusd) == ("settle_cost", "capture", 12 * 3 + 5 * 15)
    assert settlement.source == "computed", "reported is the vendor's own figure only"


async def test_generate_text_is_refused_without_an_owner_of_cost(platform, fake):
    async with platform(STUDIO_OWNERS__COST="nobody") as studio:
        with pytest.raises(studio_error("BudgetExceededError", "UnavailableError")):
            await text_of(studio).generate_text("Hi", **OURS)
    assert fake.calls == []


def studio_error(*names):
    return tuple(getattr(studio, name) for name in names)


@pytest.mark.parametrize(
    "wanted", [{}, {"schema": "x"}, {"schema": {}, "name": "a b"}, {"schema": {}, "more": 1}]
)
async def test_generate_text_refuses_a_schema_that_is_none(platform, fake, wanted):
    async with platform() as studio:
        with pytest.raises(InvalidInputError, match="JSON schema"):
            await text_of(studio).generate_text("Hi", json_schema=wanted, **OURS)
    assert fake.calls == []


async def test_generate_text_without_a_key_says_what_to_set(started):
    async with started() as studio:
        with pytest.raises(
            ProviderUnavailableError, match="STUDIO_BEDROCK__API_KEY and STUDIO_BEDROCK__ACCOUNT_ID"
        ):
            await text_of(studio).generate_text("Hi", **OURS)


async def test_generate_text_asks_who_pays(platform, fake):
    async with platform() as studio:
        for named in ({"actor": SYSTEM}, {"project_id": ""}):
            with pytest.raises(TypeError, match=r"actor|project_id"):
                await text_of(studio).generate_text("Hi", **named)
    assert fake.calls == []


async def test_generate_text_of_a_model_nobody_has_is_refused(platform):
    async with platform() as studio:
        with pytest.raises(InvalidInputError, match="other"):
            await text_of(studio).generate_text("Hi", model_id="other", **OURS)


# ---------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("variables", "wrong"),
    [
        ({"REGION": "us-east-1.example.org"}, "region"), ({"REGION": "cn-north-1"}, "region"),
        ({"REGION": ""}, "region"),
        ({"ACCOUNT_ID": "12345"}, "account_id"), ({"BASE_URL": "https://example.org"}, "base_url"),
        ({"BASE_URL": "http://bedrock-runtime.us-east-1.amazonaws.com"}, "base_url"), ({"PROFILES": "a/b"}, "profiles"),
        ({"CACHE_TTL": "1d"}, "cache_ttl"), ({"PRICES": '{"p": {"input": 1}}'}, "prices"),
    ],
    ids=str,
)  # fmt: skip
async def test_configuration_that_would_call_elsewhere_is_refused(started, variables, wrong):
    with pytest.raises(studio.ConfigError, match=wrong):
        async with started(**{f"STUDIO_BEDROCK__{name}": value for name, value in variables.items()}):
            pass


async def test_region_names_host_and_arn():
    from studio_bedrock.settings import BedrockSettings

    assert (
        BedrockSettings(region="eu-central-1").address == "https://bedrock-runtime.eu-central-1.amazonaws.com"
    )
    assert BedrockSettings(account_id="1" * 12).missing == "set STUDIO_BEDROCK__API_KEY"
