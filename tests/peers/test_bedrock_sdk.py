"""botocore checks our requests and the fake's answers against the service model, and reads the fake's streams."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from aiohttp import ClientSession
from yarl import URL

from studio import ChatMessage, ChatRequest, ChatTool, ToolCall
from studio.testing import InMemoryDatabase
from studio.testing.kit import Studio, running
from studio_bedrock.api import BedrockModelId
from studio_bedrock.eventstream import FrameReader

pytestmark = pytest.mark.peer
SDK = ["boto3==1.44.5", "botocore==1.44.5"]
SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}},
    "required": ["title"],
    "additionalProperties": False,
}
TOOL = ChatTool(name="find_shot", description="Finds a shot", parameters={"type": "object", "properties": {}})
SYSTEM = ChatMessage(role="system", text="Be brief, even in “Ü”.")
HELLO = ChatMessage(role="user", text="Hello")
CALL = ToolCall(
    id="tooluse_1", name="find_shot", arguments={"code": "3B", "n": 1.5, "deep": {"a": [None, True]}}
)
ROUND = (
    HELLO,
    ChatMessage(role="assistant", text="Let me look.", tool_calls=(CALL,)),
    ChatMessage(role="tool", text="wide", tool_call_id="tooluse_1"),
)
ASKED = [
    ((HELLO,), {}),
    ((SYSTEM, HELLO), {"max_output_tokens": 10, "temperature": 0.5}),
    ((SYSTEM, HELLO), {"json_schema": SCHEMA, "params": {"schema_name": "X", "schema_description": "D"}}),
    (
        ROUND,
        {"tools": (TOOL,), "params": {"tool_choice": "find_shot", "top_p": 0.9, "stop_sequences": ["END"]}},
    ),
    ((HELLO,), {"tools": (TOOL, TOOL.model_copy(update={"name": "b"})), "params": {"tool_choice": "any"}}),
]
WORDS = (
    "ThrottlingException",
    "ValidationException",
    "AccessDeniedException",
    "ModelErrorException",
    "ModelTimeoutException",
)


@pytest.fixture(scope="module")
async def seen(load_fake, oracle, tmp_path_factory):
    """Ask the fake, then have botocore look at all of it."""
    fakes, folder = load_fake("bedrock"), tmp_path_factory.mktemp("bedrock")
    fake = fakes.Fake()
    paths, model = [], fake.model

    async def record(request):
        paths.append(request.raw_path)
        return await model(request)

    fake.model = record
    async with fake.serving():
        environ = {
            "STUDIO_ENV": "test",
            "STUDIO_CONFIG_DIR": str(folder),
            "STUDIO_PLUGINS__ENABLED": "bedrock",
            "STUDIO_LOGGING__LEVEL": "error",
            "STUDIO_BEDROCK__BASE_URL": fake.url,
            "STUDIO_BEDROCK__ACCOUNT_ID": fakes.ACCOUNT,
            "AWS_BEARER_TOKEN_BEDROCK": fakes.KEY,
        }
        async with running(Studio(environ=environ, database=InMemoryDatabase())) as studio:
            chat = studio.services.providers.get("chat", "bedrock")
            for messages, more in ASKED:
                await chat.submit(ChatRequest(job_id="j", messages=messages, **more))
        bodies = [call.json for call in fake.calls]
        answers = await again(fake, fakes, paths, bodies)
    streams = [b"".join(made) for made in STREAMS(fakes)]
    given = {
        "arn": BedrockModelId.CLAUDE_SONNET_4_6.arn(fakes.REGION, fakes.ACCOUNT),
        "bodies": bodies,
        "documents": answers[0],
        "errors": answers[1],
        "streams": [base64.b64encode(data).decode() for data in streams],
    }
    (folder / "given.json").write_text(json.dumps(given))
    told = await asyncio.to_thread(oracle, "bedrock_sdk.py", SDK, str(folder / "given.json"))
    return given | {"paths": paths[: len(ASKED)], "bytes": streams} | json.loads(told)


def STREAMS(fakes):  # noqa: N802 - a table that needs the fake's module
    usage = {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3, "cacheReadInputTokens": 4}
    calls = [("t1", "find_shot", {"code": "3B"})]
    return [
        fakes.frames("Hello Ü, here I am.", [], "end_turn", usage),
        fakes.frames("", calls, "tool_use", usage),
        [fakes.event("messageStart", {"role": "assistant"}), fakes.exception("throttlingException")],
    ]


async def again(fake, fakes, paths, bodies):
    """Fetch the fake's plain answers, good ones and errors, for botocore to read."""
    headers = {"Authorization": f"Bearer {fakes.KEY}"}
    documents, errors = [], []
    url = URL(fake.url + paths[0], encoded=True)
    usage = {"inputTokens": 1, "outputTokens": 2, "totalTokens": 7, "cacheReadInputTokens": 4}
    fake.say("Look:", calls=[("tooluse_9", "find_shot", {"a": [1.5, None]})], usage=usage)
    async with ClientSession() as session:
        for body in bodies:
            async with session.post(url, json=body, headers=headers) as answer:
                documents.append(await answer.json())
        for word in WORDS:
            fake.refuse(word, f"told {word}")
            async with session.post(url, json=bodies[0], headers=headers) as answer:
                errors.append([answer.status, dict(answer.headers), await answer.text()])
    return documents, errors


def test_botocore_sends_the_same_path_and_body(seen):
    for mine, path, theirs in zip(seen["bodies"], seen["paths"], seen["sent"], strict=True):
        (method, their_path, their_body), authorization = theirs
        assert (method, their_path, their_body) == ("POST", path, mine)
        assert authorization == "Bearer the-key"


def test_botocore_takes_the_answers_of_the_fake_for_the_services_own(seen):
    assert seen["read"] == seen["documents"]


def test_botocore_reads_the_errors_of_the_fake(seen):
    assert seen["refused"] == [[word, f"told {word}"] for word in WORDS]


def test_botocore_decodes_the_streams_of_the_fake_as_we_do(seen):
    for theirs, data in zip(seen["decoded"], seen["bytes"], strict=True):
        mine = [[dict(frame.headers), json.loads(frame.payload)] for frame in FrameReader().feed(data)]
        assert mine == theirs
        assert mine
