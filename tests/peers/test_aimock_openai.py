"""aimock, another party's idea of OpenAI and of xAI's videos: our providers read what it says.

The fakes of our own tests come from the same head as the providers; this one does not.
"""

from __future__ import annotations

import asyncio
import base64
import struct
from contextlib import asynccontextmanager

import pytest
import structlog

from studio import (
    ChatMessage,
    ChatRequest,
    ChatTool,
    ImageRequest,
    PluginContext,
    ProviderRejectedError,
    VideoRequest,
    VoiceRequest,
)
from studio.testing.kit import HttpClients, Metrics, Services

pytestmark = pytest.mark.peer
PACKAGE, START_S = "@copilotkit/aimock@1.43.0", 30
TOOL = ChatTool(name="weather", parameters={"type": "object", "properties": {}})
MOOD = {"title": "Mood", "type": "object", "properties": {"mood": {"type": "string"}}}
WORDS = "Regen über dem Hafen — 雨."
each_api = pytest.mark.parametrize("api", ["responses", "chat_completions"])


def ask(text, **more):
    return ChatRequest(job_id="j1", messages=(ChatMessage(role="user", text=text),), **more)


@asynccontextmanager
async def aimock(script, png):
    """Run aimock and yield its address."""
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    process = await asyncio.create_subprocess_exec("node", script, base64.b64encode(png).decode(), **pipes)
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_S)
        yield line.decode().strip()
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), START_S)


@pytest.fixture(scope="module")
async def url(node_script, load_fake):
    script = await asyncio.to_thread(node_script, "aimock_openai.mjs", PACKAGE)
    async with aimock(script, load_fake("openai").png(64, 32)) as address:
        yield address


@pytest.fixture
async def context(url, tmp_path):
    from studio_openai.settings import OpenaiSettings
    from studio_xai.settings import XaiSettings

    services = Services()
    services.metrics = Metrics()
    services.http = HttpClients(services.metrics)

    def build(name, path="/v1", **changed):
        named = {"api_key": "any", "base_url": f"{url}{path}", "allow_private": True} | changed
        kinds = {"openai": OpenaiSettings, "xai": XaiSettings}
        if name == "openai":
            named["work_dir"] = tmp_path / "out"
        return PluginContext(name, services, kinds[name](**named), structlog.get_logger())

    yield build
    await services.http.close()


@pytest.fixture
def chat(context):
    from studio_openai.chat import OpenaiChatModel
    from studio_openai.compatible import OpenaiCompatibleChat

    kinds = {"responses": OpenaiChatModel, "chat_completions": OpenaiCompatibleChat}
    return lambda api: kinds[api](context("openai", chat_api=api))


@each_api
async def test_chats_come_whole_and_in_pieces(chat, api):
    done = await chat(api).submit(ask("words please"))
    assert (done.state, done.data["text"], done.data["stop"]) == ("succeeded", WORDS, "stop")
    assert (done.usage["input_tokens"], done.usage["output_tokens"]) == (12, 5)
    deltas = [delta async for delta in chat(api).stream(ask("words please"))]
    assert "".join(delta.text for delta in deltas) == deltas[-1].done.data["text"] == WORDS
    assert deltas[-1].done.usage["output_tokens"] == 5


@each_api
async def test_tools_are_called(chat, api):
    request = ask("tool please", tools=(TOOL,))
    streamed = [delta async for delta in chat(api).stream(request)][-1].done
    for done in (await chat(api).submit(request), streamed):
        call = done.data["tool_calls"][0]
        assert (call["name"], call["arguments"]) == ("weather", {"place": "harbour"})
        assert done.data["stop"] == "tool_calls"


@each_api
async def test_structured_output_is_parsed(chat, api):
    assert (await chat(api).submit(ask("json please", json_schema=MOOD))).data["json"] == {"mood": "calm"}


@each_api
async def test_what_aimock_does_not_know_is_refused(chat, api):
    with pytest.raises(ProviderRejectedError) as caught:
        await chat(api).submit(ask("nothing of the kind"))
    assert caught.value.code == "provider_rejected"


async def test_pictures_and_voices_lie_in_files(context):
    from studio_openai.image import OpenaiImageGenerator
    from studio_openai.voice import OpenaiVoiceGenerator

    drawn = await OpenaiImageGenerator(context("openai")).submit(ImageRequest(job_id="i", prompt="A harbour"))
    file = drawn.files[0]
    assert (file.mime, file.width, file.height) == ("image/png", 64, 32)
    assert struct.unpack(">II", file.path.read_bytes()[16:24]) == (64, 32)
    line = VoiceRequest(job_id="v", text="It rains.", voice="coral", params={"response_format": "mp3"})
    spoken = await OpenaiVoiceGenerator(context("openai")).submit(line)
    assert spoken.files[0].path.read_bytes() == b"ID3 a voice"


async def test_a_video_of_grok_is_a_job(context, tmp_path):
    from studio_xai.video import XaiVideoGenerator

    still = tmp_path / "still.png"
    still.write_bytes(b"\x89PNG\r\n\x1a\n")
    video = XaiVideoGenerator(context("xai"))
    request = VideoRequest(job_id="v", prompt="Rain.", image=still, duration_ms=6000)
    found = await video.submit(request)
    for _ in range(50):
        if found.state != "running":
            break
        found = await video.poll(found.provider_job_id)
    assert (found.state, found.files[0].url) == ("succeeded", "https://vidgen.x.ai/v1.mp4")
    assert found.files[0].duration_ms == 6000


async def test_a_video_of_openai_is_taken_as_a_form_and_aimock_keeps_no_file(context, tmp_path):
    from studio_openai.video import OpenaiVideoGenerator

    still = tmp_path / "still.png"
    still.write_bytes(b"\x89PNG\r\n\x1a\n")
    video = OpenaiVideoGenerator(context("openai", video_models=["sora-2"]))
    found = await video.submit(VideoRequest(job_id="v", prompt="Rain.", image=still, duration_ms=8000))
    for _ in range(50):
        if found.state != "running":
            break
        found = await video.poll(found.provider_job_id)
    assert (found.provider_job_id, found.state) == ("v1", "failed")  # it says completed
    assert found.error.code == "provider_no_result"  # aimock 1.43.0 has no /videos/{id}/content
