"""OpenAI's own SDK before the fake of our tests: it sends what we send, and reads what the fake answers.

The form of `/images/edits` is compared; its JSON form is not, as the SDK has only the other.
"""

from __future__ import annotations

import asyncio
import itertools
import json

import pytest
import structlog

from studio import (
    ChatMessage,
    ChatRequest,
    ChatTool,
    ImageEditRequest,
    ImageRequest,
    PluginContext,
    ToolCall,
    VideoRequest,
    VoiceRequest,
    WebhookCall,
)
from studio.testing.kit import HttpClients, Metrics, Services

pytestmark = pytest.mark.peer
SDK = ["openai==3.54.0"]
SEEN = ("authorization", "openai-organization", "openai-project")
USED = {"type": "object", "properties": {}}
TOOL = ChatTool(name="weather", description="The weather", parameters=USED)
CALLED = ToolCall(id="call_1", name="weather", arguments={"place": "harbour"})
MOOD = {
    "title": "Mood",
    "description": "How a scene feels.",
    "type": "object",
    "properties": {"mood": {"enum": ["calm", "tense"], "title": "Mood", "type": "string"}},
    "required": ["mood"],
    "additionalProperties": False,
}
numbers = itertools.count()


def ask(text, **more):
    turns = (ChatMessage(role="system", text="Be brief."), ChatMessage(role="user", text=text))
    return ChatRequest(**{"job_id": f"j{next(numbers)}", "messages": turns, "model": "gpt-5.4-mini"} | more)


AFTER = (
    ChatMessage(role="user", text="tool"),
    ChatMessage(role="assistant", tool_calls=(CALLED,)),
    ChatMessage(role="tool", tool_call_id="call_1", text="rain"),
)


@pytest.fixture
async def context(tmp_path):
    from studio_openai.settings import OpenaiSettings

    services = Services()
    services.metrics = Metrics()
    services.http = HttpClients(services.metrics)

    def build(fakes, fake, **changed):
        named = {
            "api_key": fakes.KEY,
            "organization": "org-1",
            "project": "proj_1",
            "work_dir": tmp_path / "out",
        }
        named |= {"base_url": f"{fake.url}/v1", "allow_private": True, "webhook_secret": fakes.SECRET}
        settings = OpenaiSettings(**named | {"image_edit_form": "multipart"} | changed)
        return PluginContext("openai", services, settings, structlog.get_logger())

    yield build
    await services.http.close()


async def read(stream):
    return [delta async for delta in stream][-1].done


async def chat_as_the_sdk(chat, after):
    """Ask the same as the oracle, in the same order."""
    params = {"reasoning_effort": "low"} | after
    await chat.submit(ask("hi", temperature=0.5, params=params))
    await chat.submit(ask("json", json_schema=MOOD))
    await chat.submit(ask("tool", tools=(TOOL,)))
    await chat.submit(ask("", messages=AFTER))
    return await read(chat.stream(ask("hi")))


async def everything(build):
    from studio_moderation.api import ModerationRequest
    from studio_openai.chat import OpenaiChatModel
    from studio_openai.compatible import OpenaiCompatibleChat
    from studio_openai.image import OpenaiImageEditor, OpenaiImageGenerator
    from studio_openai.moderation import OpenaiModerator
    from studio_openai.video import OpenaiVideoGenerator
    from studio_openai.voice import OpenaiVoiceGenerator

    folder = build.folder
    await chat_as_the_sdk(OpenaiCompatibleChat(build(chat_api="chat_completions")), {})
    chat = OpenaiChatModel(build(chat_api="responses"))
    await chat_as_the_sdk(chat, {"verbosity": "low"})
    started = await chat.submit(ask("hi", params={"background": True}))
    for _ in range(2):
        await chat.poll(started.provider_job_id)
    other = await chat.submit(ask("hi", params={"background": True}))
    await chat.cancel(other.provider_job_id)
    image = OpenaiImageGenerator(build())
    params = {"quality": "low", "output_format": "png"}
    await image.submit(ImageRequest(job_id="i1", prompt="A harbour", params=params))
    edit = {"prompt": "A boat", "width": 64, "height": 32}
    one = {"image": folder / "a.png", "mask": folder / "mask.png"}
    await OpenaiImageEditor(build()).submit(ImageEditRequest(job_id="e1", operation="inpaint", **edit, **one))
    both = (folder / "a.png", folder / "b.png")
    await image.submit(ImageRequest(job_id="i2", references=both, params={"quality": "high"}, **edit))
    line = VoiceRequest(job_id="v1", model="tts-1", text="It rains.", voice="coral", rate=330)
    await OpenaiVoiceGenerator(build()).submit(line)
    film = OpenaiVideoGenerator(build(video_models=["sora-2"]))
    still = VideoRequest(job_id="f1", prompt="Rain.", image=folder / "a.png", duration_ms=5000)
    build.film = await film.submit(still)
    while build.film.state == "running":
        build.film = await film.poll(build.film.provider_job_id)
    judge = OpenaiModerator(build())
    await judge.submit(ModerationRequest(job_id="m1", text="A calm harbour."))
    picture = ModerationRequest(job_id="m2", image=folder / "forbidden.png", mime="image/png")
    build.judged = (await judge.submit(picture)).data


def written(fakes, call):
    """Return what a call says, whatever the order of its fields and the boundary of its form.

    The SDK's `parse` says `stream: false`, which is the default.
    """
    kind = call.headers.get("content-type", "")
    if kind.startswith("multipart/"):
        return sorted(fakes._form(kind, call.body))
    body = json.loads(call.body) if call.body else {}
    return {name: value for name, value in body.items() if (name, value) != ("stream", False)}


def plain(path):
    """Return a path with the numbers of the fake's responses and videos taken out."""
    return "/".join(
        part.partition("_")[0] if part.startswith(("resp_", "video_")) else part for part in path.split("/")
    )


@pytest.fixture
def pictures(tmp_path, load_fake):
    for name in ("a.png", "b.png", "mask.png"):
        (tmp_path / name).write_bytes(load_fake("openai").png(64, 32))
    (tmp_path / "forbidden.png").write_bytes(load_fake("openai").png(64, 32) + b"forbidden")
    return tmp_path


@pytest.fixture
async def both(load_fake, oracle, context, pictures):
    """Return (what we sent, what the SDK sent, what the SDK made of the answers, the fakes)."""
    fakes = load_fake("openai")
    async with fakes.FakeOpenai().serving() as fake:

        def build(**changed):
            return context(fakes, fake, **changed)

        build.folder = pictures
        await everything(build)
        ours, fake.calls[:] = list(fake.calls), []
        headers, body = fake.webhook("response.completed", "resp_1")
        told_of = {"headers": headers, "body": body.decode(), "secret": fakes.SECRET}
        arguments = (f"{fake.url}/v1", fakes.KEY, str(pictures), json.dumps(told_of))
        told = json.loads(await asyncio.to_thread(oracle, "openai_sdk.py", SDK, *arguments))
        from studio_openai.chat import OpenaiChatModel

        event = WebhookCall(path="/", headers=headers, body=body, received_at=0)
        news = await OpenaiChatModel(build()).parse_webhook(event)
    told["judged"], told["film"] = build.judged["flags"], build.film
    return ours, fake.calls, told, fakes, news


async def test_the_sdk_sends_what_we_send_and_reads_what_the_fake_answers(both):
    ours, theirs, told, fakes, news = both
    assert len(ours) == len(theirs) - 2  # the SDK was refused twice besides
    for own, sdk in zip(ours, theirs, strict=False):
        assert (own.method, plain(own.path), own.query) == (sdk.method, plain(sdk.path), sdk.query)
        assert written(fakes, own) == written(fakes, sdk)
        assert {name: own.headers[name] for name in SEEN} == {name: sdk.headers[name] for name in SEEN}
    assert told["chat"][1:] == [*told["response"][1:2], "stop"] == ["Rain on the harbour.", "stop"]
    assert told["chat_json"] == told["response_json"] == {"mood": "calm"}
    assert told["chat_tool"] == told["response_tool"] == ["call_1", "weather", {"place": "harbour"}]
    assert told["chat_stream"] == told["response_stream"] == "Rain on the harbour."
    assert told["chat_usage"] == told["chat_stream_usage"]
    assert told["response_usage"]["output_tokens_details"]["reasoning_tokens"] == 2
    assert told["response_events"][0] == "ResponseCreatedEvent"
    assert told["response_events"][-1] == "ResponseCompletedEvent"
    assert told["response_numbers"] == list(range(len(told["response_numbers"])))
    assert told["background"] == ["queued", "in_progress", "completed", "cancelled"]
    assert told["image"] == ["iVBORw0KGgo", "1280x720", 272]
    assert (told["edit"], told["edit_two"], told["speech"]) == ("64x32", "64x32", 24_044)
    assert told["video"] == ["queued", "in_progress", "completed"]
    assert told["video_content"] == told["film"].files[0].path.stat().st_size
    assert told["film"].usage == {"calls": 1, "seconds": 8}
    assert told["moderation"] == [[False, False, 0.0002], [True, True, 0.93]]
    assert told["moderation_kinds"] == ["image"]
    assert [flag["category"] for flag in told["judged"]] == ["violence", "violence/graphic"]
    assert told["errors"] == [
        ["BadRequestError", 400, "moderation_blocked", "image_generation_user_error"],
        ["RateLimitError", 429, "insufficient_quota", "insufficient_quota"],
    ]
    assert told["webhook"] == ["ResponseCompletedWebhookEvent", news.kind, news.provider_job_id]
    assert told["forged"] == "refused"
