"""The plugin's providers before a fake of OpenAI, and before a vendor that gives one canned answer."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from studio import ChatMessage, ChatRequest
from studio.testing.contexts import contexts
from studio.testing.vendor import Canned
from studio_openai.chat import OpenaiChatModel
from studio_openai.compatible import OpenaiCompatibleChat
from studio_openai.image import OpenaiImageEditor, OpenaiImageGenerator
from studio_openai.moderation import OpenaiModerator
from studio_openai.settings import OpenaiSettings
from studio_openai.video import OpenaiVideoGenerator
from studio_openai.voice import OpenaiVoiceGenerator

PAYLOADS = Path(__file__).parent / "payloads"
KINDS = {
    "chat": OpenaiChatModel,
    "image": OpenaiImageGenerator,
    "image_edit": OpenaiImageEditor,
    "voice": OpenaiVoiceGenerator,
    "moderation": OpenaiModerator,
    "video": OpenaiVideoGenerator,
}


@pytest.fixture(scope="session")
def openai_fakes(load_fake):
    return load_fake("openai")


@pytest.fixture
async def context(tmp_path):
    """Return a function that makes a plugin context before a fake; its files lie in the test's own folder."""
    async with contexts() as context_of:

        def make(fake, **changed):
            named = {
                "api_key": "sk-fake-0123456789abcdef",
                "base_url": f"{fake.url}/v1",
                "allow_private": True,
            }
            named |= {"work_dir": tmp_path / "out", "chat_api": "responses"}
            return context_of("openai", OpenaiSettings(**named | changed))

        yield make


@pytest.fixture
def provider(context):
    def make(capability, fake, **changed):
        ctx = context(fake, **changed)
        compatible = capability == "chat" and not ctx.settings(OpenaiSettings).responses
        return OpenaiCompatibleChat(ctx) if compatible else KINDS[capability](ctx)

    return make


@pytest.fixture
async def fake(openai_fakes):
    vendor = openai_fakes.FakeOpenai()
    async with vendor.serving():
        yield vendor


@pytest.fixture(scope="session")
def tools():
    return SimpleNamespace(canned=Canned, ask=ask, payload=payload)


def ask(text="hi", **more):
    return ChatRequest(job_id="job1-1", messages=(ChatMessage(role="user", text=text),), **more)


def payload(name):
    return json.loads((PAYLOADS / f"{name}.json").read_text())
