"""aimock, another party's idea of Bedrock and of ElevenLabs: our providers read what it says.

Its event stream is encoded by code that is not ours, and it takes the ARN as one segment of the path.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
import structlog

from studio import ChatMessage, ChatRequest, ChatTool, PluginContext, ProviderRejectedError, VoiceRequest
from studio.testing.kit import HttpClients, Metrics, Services

pytestmark = pytest.mark.peer
PACKAGE, START_S = "@copilotkit/aimock@1.43.0", 30
WORDS = "Regen über dem Hafen — 雨."
GIVEN = {"place": "harbour", "deep": {"a": [1, None]}}
TOOL = ChatTool(name="weather", parameters={"type": "object", "properties": {}})
MOOD = {"title": "Mood", "type": "object", "properties": {"mood": {"type": "string"}}}


def ask(text, **more):
    return ChatRequest(job_id="j1", messages=(ChatMessage(role="user", text=text),), **more)


@asynccontextmanager
async def aimock(script):
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    process = await asyncio.create_subprocess_exec("node", script, **pipes)
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_S)
        yield line.decode().strip()
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), START_S)


@pytest.fixture(scope="module")
async def url(node_script):
    script = await asyncio.to_thread(node_script, "aimock_bedrock.mjs", PACKAGE)
    async with aimock(script) as address:
        yield address


@pytest.fixture
async def services():
    made = Services()
    made.metrics = Metrics()
    made.http = HttpClients(made.metrics)
    yield made
    await made.http.close()


@pytest.fixture
def chat(services, url):
    from studio_bedrock.chat import BedrockChatModel
    from studio_bedrock.settings import BedrockSettings

    settings = BedrockSettings(api_key="any", account_id="1" * 12, base_url=url)
    return BedrockChatModel(PluginContext("bedrock", services, settings, structlog.get_logger()))


async def both(chat, request):
    """Return the answer as it comes whole and as it comes in pieces."""
    deltas = [delta async for delta in chat.stream(request)]
    assert "".join(delta.text for delta in deltas) == deltas[-1].done.data["text"]
    return await chat.submit(request), deltas[-1].done


async def test_chats_come_whole_and_in_pieces(chat):
    for done in await both(chat, ask("words please")):
        assert (done.state, done.data["text"], done.data["stop"]) == ("succeeded", WORDS, "stop")


async def test_tools_are_called(chat):
    for done in await both(chat, ask("tool please", tools=(TOOL,))):
        call = done.data["tool_calls"][0]
        assert (call["name"], call["arguments"], done.data["stop"]) == ("weather", GIVEN, "tool_calls")


async def test_structured_output_is_parsed(chat):
    for done in await both(chat, ask("json please", json_schema=MOOD)):
        assert done.data["json"] == {"mood": "calm"}


async def test_what_aimock_does_not_know_is_refused(chat):
    with pytest.raises(ProviderRejectedError):
        await chat.submit(ask("nothing of the kind"))


async def test_lines_are_spoken(services, url, tmp_path):
    from studio_elevenlabs.settings import ElevenLabsSettings
    from studio_elevenlabs.voice import ElevenLabsVoiceGenerator

    settings = ElevenLabsSettings(api_key="any", base_url=url, timestamps=False, work_dir=tmp_path)
    voice = ElevenLabsVoiceGenerator(PluginContext("elevenlabs", services, settings, structlog.get_logger()))
    spoken = await voice.submit(VoiceRequest(job_id="v", text="A dark sky.", voice="rachel"))
    assert spoken.files[0].path.read_bytes() == b"ID3 a voice"
    with pytest.raises(ProviderRejectedError):
        await voice.submit(VoiceRequest(job_id="w", text="Nothing of the kind.", voice="rachel"))
