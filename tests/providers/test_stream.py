from __future__ import annotations

import asyncio
import sys
import types
from contextlib import aclosing

import pytest

from studio.auth import Actor
from studio.errors import BudgetExceededError, OutcomeUnknownError, ProviderError, ProviderUnavailableError
from studio.jobs import CostDecision, JobsSettings
from studio.providers import (
    ChatDelta,
    ChatMessage,
    ChatRequest,
    Estimate,
    Generation,
    GenerationError,
    ModelSpec,
    Providers,
    ProviderSpec,
    limits,
    registry,
)

pytestmark = pytest.mark.memory
KEY = Actor("ada", "api_key", "key-1")
REQUEST = ChatRequest(job_id="chat-1", model="m", messages=(ChatMessage(role="user", text="hi"),))
MODEL = ModelSpec("m", "per_1m_tokens", unit_price_uusd=1_000_000, output_price_uusd=2_000_000)
USED = {"input_tokens": 3, "output_tokens": 4}


def whole(**fields):
    done = Generation(provider_job_id="c", **{"state": "succeeded", "usage": USED, **fields})
    return ChatDelta(done=done)


class Chat:
    script: list  # each test brings its own

    async def stream(self, request):
        for found in self.script:
            if isinstance(found, Exception):
                raise found
            if found is None:
                await asyncio.Event().wait()
            yield found

    def estimate(self, request):
        return Estimate(cost_uusd=5)


class Owner:
    def __init__(self):
        self.calls = []
        self.decision = CostDecision(allowed=True)

    async def first(self, hook, payload):
        self.calls.append((hook, payload))
        return self.decision if hook == "hold_cost" else True


@pytest.fixture
def owner():
    return Owner()


@pytest.fixture
def chat(monkeypatch, owner):
    vendor, module = Chat(), types.ModuleType("fake_chat")
    module.Chat = lambda ctx: vendor
    monkeypatch.setitem(sys.modules, "fake_chat", module)
    vendor.providers = Providers(types.SimpleNamespace(jobs=JobsSettings()), owner)
    spec = ProviderSpec("a", "chat", "fake_chat:Chat", models=(MODEL,), deadline_s=0.05)
    vendor.providers.register("p", None, [spec])
    return vendor


async def read(chat):
    return [piece async for piece in chat.providers.stream_now(REQUEST, KEY, "p1")]


async def test_answer_is_held_streamed_and_settled_by_its_usage(chat, owner):
    chat.script = [ChatDelta(text="Hel"), ChatDelta(text="lo"), whole()]
    pieces = await read(chat)
    assert "".join(piece.text for piece in pieces) == "Hello"
    assert pieces[-1].done.state == "succeeded"
    (_, hold), (_, settled) = owner.calls
    assert (hold.job_id, hold.amount_uusd, hold.api_key_id) == ("chat-1", 5, "key-1")
    assert (settled.kind, settled.amount_uusd, settled.source) == ("capture", 11, "computed")
    assert settled.usage == USED


async def test_refused_hold_asks_nobody(chat, owner):
    chat.script, owner.decision = [whole()], CostDecision(allowed=False, reason="used up")
    with pytest.raises(BudgetExceededError):
        await read(chat)
    assert [hook for hook, _ in owner.calls] == ["hold_cost"]


@pytest.mark.parametrize(
    ("script", "error", "kind"),
    [
        ([ChatDelta(text="Hel"), ConnectionResetError("gone")], OutcomeUnknownError, "capture"),
        ([ChatDelta(text="Hel")], OutcomeUnknownError, "capture"),
        ([None], OutcomeUnknownError, "capture"),
        ([ChatDelta(text="Hel"), ProviderError("502")], ProviderError, "capture"),
        ([ProviderError("502")], ProviderError, "release"),
        ([ProviderUnavailableError("off")], ProviderUnavailableError, "release"),
    ],
    ids=["reset", "ends early", "silent", "breaks", "refused at once", "off"],
)
async def test_broken_stream_is_settled_by_what_may_have_been_sent(chat, owner, script, error, kind):
    chat.script = script
    with pytest.raises(error):
        await read(chat)
    settled = owner.calls[-1][1]
    assert (settled.kind, settled.amount_uusd, settled.source) == (kind, None, "unknown")


async def test_endless_stream_is_cut(chat, owner, monkeypatch):
    monkeypatch.setattr(registry, "STREAM_BYTES", 10)
    chat.script = [ChatDelta(text="ä") for _ in range(50)]
    with pytest.raises(OutcomeUnknownError, match="10 bytes"):
        await read(chat)
    assert owner.calls[-1][1].kind == "capture"


async def test_stream_that_nobody_reads_to_its_end_is_settled_as_unknown(chat, owner):
    chat.script = [ChatDelta(text="Hel"), whole()]
    async with aclosing(chat.providers.stream_now(REQUEST, KEY, "p1")) as pieces:
        assert (await anext(pieces)).text == "Hel"
    settled = owner.calls[-1][1]
    assert (settled.kind, settled.amount_uusd) == ("capture", None)


async def test_refused_answer_is_released(chat, owner):
    refusal = GenerationError(code="content_policy", message="No.", input="messages")
    chat.script = [whole(state="failed", error=refusal, usage={})]
    assert (await read(chat))[-1].done.error == refusal
    assert owner.calls[-1][1].kind == "release"


async def test_slow_reader_does_not_stop_the_clock(chat, owner):
    chat.script = [ChatDelta(text="Hel"), None]
    stream = chat.providers.stream_now(REQUEST, KEY, "p1")
    await anext(stream)
    with pytest.raises(OutcomeUnknownError, match=r"0\.05 s"):
        await anext(stream)


async def test_stream_that_never_got_its_turn_is_released(chat, owner, monkeypatch):
    monkeypatch.setattr(limits, "WAIT_S", 0.01)
    slots = chat.providers.get("chat")._limits._slots
    while not slots.locked():
        await slots.acquire()
    with pytest.raises(ProviderUnavailableError):
        await read(chat)
    assert owner.calls[-1][1].kind == "release"


async def test_reader_who_leaves_before_the_turn_has_paid_nothing(chat, owner):
    slots = chat.providers.get("chat")._limits._slots
    while not slots.locked():
        await slots.acquire()
    reader = asyncio.create_task(read(chat))
    while not slots._waiters:
        await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert owner.calls[-1][1].kind == "release"
