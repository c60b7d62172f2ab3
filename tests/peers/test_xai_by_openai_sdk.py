"""OpenAI's SDK before the fake of xAI: it sends what we send for chats and pictures, and reads the fake's answers.

xAI's own SDK speaks gRPC; videos and edits are no part of OpenAI's protocol and are compared with nobody here.
"""

from __future__ import annotations

import asyncio
import json

import pytest
import structlog

from studio import ChatMessage, ChatRequest, ChatTool, ImageRequest, PluginContext
from studio.testing.kit import HttpClients, Metrics, Services

pytestmark = pytest.mark.peer
SDK = ["openai==3.54.0"]
TOOL = ChatTool(name="weather", description="The weather", parameters={"type": "object", "properties": {}})
MOOD = {
    "title": "Mood",
    "description": "How a scene feels.",
    "type": "object",
    "properties": {"mood": {"enum": ["calm", "tense"], "title": "Mood", "type": "string"}},
    "required": ["mood"],
    "additionalProperties": False,
}


def ask(text, **more):
    return ChatRequest(job_id="j1", messages=(ChatMessage(role="user", text=text),), **more)


@pytest.fixture
async def context():
    from studio_xai.settings import XaiSettings

    services = Services()
    services.metrics = Metrics()
    services.http = HttpClients(services.metrics)

    def build(fakes, fake):
        settings = XaiSettings(api_key=fakes.KEY, base_url=f"{fake.url}/v1", allow_private=True)
        return PluginContext("xai", services, settings, structlog.get_logger())

    yield build
    await services.http.close()


async def everything(ctx):
    from studio_xai.chat import XaiChatModel
    from studio_xai.image import XaiImageGenerator

    chat = XaiChatModel(ctx)
    first = await chat.submit(ask("hi", temperature=0.5, params={"reasoning_effort": "low"}))
    await chat.submit(ask("json", json_schema=MOOD))
    await chat.submit(ask("tool", tools=(TOOL,)))
    async for _ in chat.stream(ask("hi")):
        pass
    await XaiImageGenerator(ctx).submit(ImageRequest(job_id="i1", prompt="A harbour"))
    return first


def written(call):
    """Return what a call says; the SDK's `parse` says `stream: false`, which is the default."""
    return {name: value for name, value in call.json.items() if (name, value) != ("stream", False)}


async def test_the_sdk_sends_what_we_send_and_reads_what_the_fake_answers(load_fake, oracle, context):
    fakes = load_fake("xai")
    async with fakes.FakeXai().serving() as fake:
        first = await everything(context(fakes, fake))
        ours, fake.calls[:] = list(fake.calls), []
        arguments = ("xai_by_openai_sdk.py", SDK, f"{fake.url}/v1", fakes.KEY)
        told = json.loads(await asyncio.to_thread(oracle, *arguments))
    theirs = fake.calls[: len(ours)]
    for own, sdk in zip(ours, theirs, strict=True):
        assert (own.method, own.path, own.query) == (sdk.method, sdk.path, sdk.query)
        assert written(own) == written(sdk)
        assert own.headers["authorization"] == sdk.headers["authorization"]
    assert told["chat"] == [first.data["text"], first.data["stop"]]
    assert told["json"] == {"mood": "calm"}
    assert told["tool"] == ["call_1", "weather", {"place": "x"}]
    assert told["stream"] == "Rain on the harbour."
    assert told["ticks"] == told["stream_ticks"] == fakes.TICKS["chat"]
    assert told["image"].startswith("https://imgen.x.ai/")
    assert told["errors"][0] == ["BadRequestError", 400]
