"""The plugin's providers before a fake of xAI, and before a vendor that gives one canned answer."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from studio import ChatMessage, ChatRequest
from studio.testing.contexts import contexts
from studio.testing.vendor import Canned
from studio_xai.chat import XaiChatModel
from studio_xai.image import XaiImageEditor, XaiImageGenerator
from studio_xai.settings import XaiSettings
from studio_xai.video import XaiVideoGenerator

PAYLOADS = Path(__file__).parent / "payloads"
KINDS = {
    "chat": XaiChatModel,
    "image": XaiImageGenerator,
    "image_edit": XaiImageEditor,
    "video": XaiVideoGenerator,
}


@pytest.fixture(scope="session")
def xai_fakes(load_fake):
    return load_fake("xai")


@pytest.fixture
async def provider():
    """Return a function that makes a provider before a fake."""
    async with contexts() as context_of:

        def make(capability, fake, **changed):
            named = {
                "api_key": "xai-fake-0123456789abcdef",
                "base_url": f"{fake.url}/v1",
                "allow_private": True,
            }
            return KINDS[capability](context_of("xai", XaiSettings(**named | changed)))

        yield make


@pytest.fixture
async def fake(xai_fakes):
    vendor = xai_fakes.FakeXai()
    async with vendor.serving():
        yield vendor


@pytest.fixture
def picture(tmp_path):
    """Return a function that writes a picture, by its first bytes at least."""

    def make(name="panel.png"):
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n" + name.encode())
        return tmp_path / name

    return make


@pytest.fixture(scope="session")
def tools():
    return SimpleNamespace(canned=Canned, ask=ask, payload=payload)


def ask(text="hi", **more):
    return ChatRequest(job_id="job1-1", messages=(ChatMessage(role="user", text=text),), **more)


def payload(name):
    return json.loads((PAYLOADS / f"{name}.json").read_text())
