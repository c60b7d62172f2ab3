"""What the vendor says, as captured, and what it means here; what goes to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import studio
from studio import (
    ChatMessage,
    ChatRequest,
    ChatTool,
    HttpAnswer,
    OutcomeUnknownError,
    ProviderRejectedError,
    ToolCall,
)
from studio_bedrock.api import BedrockModelId
from studio_bedrock.client import refusal
from studio_bedrock.models import STOPS, TABLE, body_of, cost_of, most_cost, most_tokens
from studio_bedrock.reply import Reply
from studio_bedrock.settings import BedrockSettings

pytestmark = pytest.mark.pure
PAYLOADS = Path(__file__).parent / "payloads"
HELLO = (ChatMessage(role="user", text="hi"),)


def cases(name):
    rows = json.loads((PAYLOADS / name).read_text())
    return pytest.mark.parametrize("case", rows, ids=[row["name"] for row in rows])


@cases("errors.json")
def test_error_says_what_was_wrong(case):
    answer = HttpAnswer(case["status"], {"x-amzn-errortype": case["type"]}, json.dumps(case["body"]).encode())
    error = refusal(answer)
    assert type(error) is getattr(studio, case["error"])
    assert (error.code, error.extra.get("input")) == (case["code"], case["input"])
    assert (error.retry_after is not None) == (case["status"] == 429)


def test_pause_is_the_one_that_is_asked_for():
    assert refusal(HttpAnswer(429, {"retry-after": "17"}, b"")).retry_after == 17


@cases("answers.json")
def test_answer_is_read(case):
    generation = Reply.of(case["document"]).conclude("id", None, wants_json=case["schema"])
    assert (generation.state, generation.usage) == (case["state"], case["usage"])
    if case["code"]:
        assert (generation.error.code, generation.error.retryable, generation.data) == (
            case["code"],
            False,
            {},
        )
    else:
        names = {"text": "text", "json": "json", "stop": "stop", "calls": "tool_calls"}
        assert {ours: generation.data[theirs] for ours, theirs in names.items()} == {
            o: case[o] for o in names
        }


@pytest.mark.parametrize(
    "document",
    [
        {}, [], None, "x", {"output": {}}, {"output": {"message": {"content": None}}, "stopReason": "end_turn"},
        {"output": {"message": {"content": [7]}}, "stopReason": "end_turn"}, {"output": {"message": {"content": []}}},
        {"output": {"message": {"content": [{"toolUse": {"input": {}}}]}}, "stopReason": "tool_use"},
    ],
    ids=str,
)  # fmt: skip
def test_answer_that_is_none_has_an_unknown_outcome(document):
    with pytest.raises(OutcomeUnknownError):
        Reply.of(document)


def test_every_reason_to_stop_that_the_api_has_is_in_the_table():
    succeeded = {word for word, state in TABLE.states.items() if state == "succeeded"}
    assert succeeded == STOPS.keys()
    assert {word for word, state in TABLE.states.items() if state == "failed"} <= TABLE.errors.keys()


# ---------------------------------------------------------------- requests


def request(**changes):
    return ChatRequest(**{"job_id": "j", "messages": HELLO} | changes)


def test_body_is_the_one_that_the_api_documents():
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    messages = (ChatMessage(role="system", text="s"), *HELLO)
    asked = request(messages=messages, json_schema=schema, max_output_tokens=10, params={"schema_name": "X"})
    body = body_of(asked, "1h")
    shape = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert json.loads(shape.pop("schema")) == schema
    assert body == {
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "system": [{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
        "inferenceConfig": {"maxTokens": 10},
        "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"name": "X"}}}},
    }


@pytest.mark.parametrize("text", ["", " "])
def test_without_a_system_prompt_nothing_is_cached(text):
    assert "system" not in body_of(request(messages=(ChatMessage(role="system", text=text), *HELLO)), "1h")
    assert "system" not in body_of(request(), "1h")


def test_cache_can_be_shorter_or_off():
    messages = (ChatMessage(role="system", text="s"), *HELLO)
    assert body_of(request(messages=messages), "5m")["system"][1]["cachePoint"]["ttl"] == "5m"
    assert body_of(request(messages=messages), "off")["system"] == [{"text": "s"}]


def test_turns_of_one_side_become_one_and_tools_answer_as_the_user():
    call = ToolCall(id="t1", name="find", arguments={"a": 1})
    other = ToolCall(id="t2", name="find", arguments={})
    messages = (
        *HELLO,
        ChatMessage(role="user", text="again"),
        ChatMessage(role="assistant", text="", tool_calls=(call, other)),
        ChatMessage(role="tool", text="one", tool_call_id="t1"),
        ChatMessage(role="system", text="late"),
        ChatMessage(role="tool", text="", tool_call_id="t2"),
        ChatMessage(role="user", text="go on"),
    )
    body = body_of(request(messages=messages), "off")
    assert body["system"] == [{"text": "late"}]
    assert body["messages"] == [
        {"role": "user", "content": [{"text": "hi"}, {"text": "again"}]},
        {
            "role": "assistant",
            "content": [
                {"toolUse": {"toolUseId": "t1", "name": "find", "input": {"a": 1}}},
                {"toolUse": {"toolUseId": "t2", "name": "find", "input": {}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "t1", "content": [{"text": "one"}], "status": "success"}},
                {"toolResult": {"toolUseId": "t2", "content": [{"text": ""}], "status": "success"}},
                {"text": "go on"},
            ],
        },
    ]


TOOL = ChatTool(name="find", description="", parameters={"type": "object"})


@pytest.mark.parametrize(
    ("choice", "wire"),
    [(None, None), ("auto", {"auto": {}}), ("any", {"any": {}}), ("find", {"tool": {"name": "find"}})],
)
def test_tools_are_objects_unlike_the_schema_of_the_answer(choice, wire):
    config = body_of(request(tools=(TOOL,), params={"tool_choice": choice} if choice else {}), "1h")[
        "toolConfig"
    ]
    assert config["tools"] == [{"toolSpec": {"name": "find", "inputSchema": {"json": {"type": "object"}}}}]
    assert config.get("toolChoice") == wire


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"messages": ()}, "messages"),
        ({"messages": (ChatMessage(role="system", text="s"),)}, "messages"),
        ({"messages": (ChatMessage(role="assistant", text="s"), *HELLO)}, "messages"),
        ({"messages": (ChatMessage(role="user", text=" "),)}, "messages"),
        ({"messages": (*HELLO, ChatMessage(role="tool", text="x"))}, "messages"),
        ({"tools": (TOOL.model_copy(update={"name": "a b"}),)}, "tools"),
        ({"tools": (TOOL,), "params": {"tool_choice": "other"}}, "params"),
        ({"temperature": 1.5}, "temperature"),
        ({"max_output_tokens": 0}, "temperature"),
        ({"params": {"top_p": 2}}, "params"),
        ({"params": {"stop_sequences": [""]}}, "params"),
        ({"params": {"base_url": "http://example.org"}}, "params"),
        ({"params": {"headers": {"Authorization": "x"}}}, "params"),
        ({"params": {"additionalModelRequestFields": {}}}, "params"),
        ({"params": {"region": "eu-west-1"}}, "params"),
        ({"params": {"account_id": "1"}}, "params"),
        ({"params": {"schema_name": "a b"}}, "params"),
    ],
    ids=str,
)  # fmt: skip
def test_what_the_api_cannot_take_is_refused(changes, wrong):
    with pytest.raises(ProviderRejectedError) as raised:
        body_of(request(**changes), "1h")
    assert raised.value.extra["input"] == wrong


@pytest.mark.parametrize(
    ("title", "name"), [("Scene list", "Scene_list"), ("", "answer"), ("é" * 70, "_" * 64), (None, "None")]
)
def test_name_of_the_schema_is_made_of_its_title(title, name):
    body = body_of(request(json_schema={"title": title}), "1h")
    assert body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["name"] == name


def test_model_ids_are_arns_of_profiles():
    assert BedrockModelId.CLAUDE_SONNET_4_6.arn("us-east-1", "123456789012") == (
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/global.anthropic.claude-sonnet-4-6"
    )
    assert all(model.startswith("global.anthropic.") for model in BedrockModelId)


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"input_tokens": 1_000_000, "output_tokens": 0}, 3_000_000),
        ({"input_tokens": 1, "output_tokens": 0}, 3),
        (
            {"input_tokens": 0, "output_tokens": 100, "cache_read_tokens": 1000, "cache_write_tokens": 100},
            2_400,
        ),
        ({"input_tokens": 0, "output_tokens": 0, "cache_read_tokens": 1}, 1),
        ({"output_tokens": 5}, None),
        ({}, None),
    ],
)
def test_cost_counts_every_kind_of_token(usage, cost):
    price = {"input": 3_000_000, "output": 15_000_000, "cache_read": 300_000, "cache_write": 6_000_000}
    settings = BedrockSettings(prices={"p": price})
    assert cost_of(settings, "p", usage) == cost
    assert cost_of(settings, "other", usage) is None


@pytest.mark.parametrize(
    ("changed", "least"),
    [
        ({"messages": (ChatMessage(role="user", text="雨" * 1_000),)}, 3_000),
        (
            {
                "messages": (
                    ChatMessage(
                        role="assistant",
                        tool_calls=(ToolCall(id="c", name="n", arguments={"place": "雨" * 1_000}),),
                    ),
                )
            },
            3_000,
        ),
        ({"tools": (ChatTool(name="t", parameters={"title": "x" * 5_000}),)}, 5_000),
        ({"json_schema": {"title": "x" * 6_000}}, 6_000),
    ],
    ids=["text", "tool calls", "tools", "schema"],
)
def test_estimate_counts_every_byte_that_is_sent(changed, least):
    assert least <= most_tokens(request(**changed))["input_tokens"] < least + 250


@pytest.mark.parametrize(("cache_write", "each"), [(6_000_000, 6), (1_000_000, 3)])
def test_question_is_estimated_at_its_dearest(cache_write, each):
    price = {"input": 3_000_000, "output": 0, "cache_read": 0, "cache_write": cache_write}
    settings = BedrockSettings(prices={"p": price})
    asked = request(max_output_tokens=1)
    assert most_cost(settings, "p", asked) == most_tokens(asked)["input_tokens"] * each
    assert most_cost(settings, "other", asked) is None
