"""A streamed chat answer as the wrapper hands it out: whole up to the piece with `done`, or an error with its class."""

from __future__ import annotations

import asyncio
import types

import pytest

from studio.breaker import Breaker
from studio.errors import OutcomeUnknownError, ProviderError, ProviderUnavailableError
from studio.providers.contract import Generation, GenerationError, ProviderSpec
from studio.providers.limits import Limits
from studio.providers.requests import ChatDelta, ChatMessage, ChatRequest
from studio.providers.wrapper import BoundProvider

pytestmark = pytest.mark.memory
REQUEST = ChatRequest(job_id="chat-1", model="m", messages=(ChatMessage(role="user", text="hi"),))


def whole(**fields):
    return ChatDelta(done=Generation(provider_job_id="c", **{"state": "succeeded", **fields}))


class Chat:
    script: list  # each test brings its own

    async def stream(self, request):
        for found in self.script:
            if isinstance(found, Exception):
                raise found
            if found is None:
                await asyncio.Event().wait()
            yield found


@pytest.fixture
def chat():
    vendor = Chat()
    spec = ProviderSpec("a", "chat", "fake:Chat", deadline_s=0.05)
    bound = BoundProvider(spec, vendor, Limits(1), Breaker())
    return types.SimpleNamespace(vendor=vendor, bound=bound, sent=0)


async def read(chat):
    def sent():
        chat.sent += 1

    return [piece async for piece in chat.bound.stream(REQUEST, sent=sent)]


async def test_answer_comes_piece_by_piece_up_to_the_one_that_is_done(chat):
    chat.vendor.script = [ChatDelta(text="Hel"), ChatDelta(text="lo"), whole(), ChatDelta(text="more")]
    pieces = await read(chat)
    assert "".join(piece.text for piece in pieces) == "Hello"
    assert (pieces[-1].done.state, chat.sent) == ("succeeded", 1)


async def test_refusal_is_an_answer(chat):
    refusal = GenerationError(code="content_policy", message="No.", input="messages")
    chat.vendor.script = [whole(state="failed", error=refusal)]
    assert (await read(chat))[-1].done.error == refusal


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([ChatDelta(text="Hel"), ConnectionResetError("gone")], OutcomeUnknownError),
        ([ChatDelta(text="Hel")], OutcomeUnknownError),
        ([None], OutcomeUnknownError),
        ([ChatDelta(text="Hel"), ProviderError("502")], ProviderError),
        ([ProviderUnavailableError("off")], ProviderUnavailableError),
    ],
    ids=["reset", "ends early", "silent", "breaks", "off"],
)
async def test_answer_that_breaks_off_says_whether_it_may_be_charged(chat, script, error):
    chat.vendor.script = script
    with pytest.raises(error):
        await read(chat)
