from __future__ import annotations

import asyncio

import pytest

from studio import Actor, DatabaseUnavailableError
from studio_auth import memory as module
from studio_auth.memory import BELIEVED_S, RENEW_S, ActorMemory, VerifiedTokens
from studio_auth.settings import AuthSettings
from studio_auth.tokens import LEEWAY_S, Tokens

pytestmark = pytest.mark.pure
START_MS = 1_800_000_000_000


class Source:
    """Answers when it is told to, and counts who asks."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, Actor | Exception | None] = {"S": Actor("U", session_id="S")}
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, key: str) -> Actor | None:
        self.asked.append(key)
        answer = self.answers.get(key)
        await self.gate.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def memory(source):
    memory = ActorMemory(source)
    yield memory
    await memory.close()


@pytest.fixture
def now(monkeypatch) -> list[float]:
    now = [1024.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_many_who_ask_at_once_cost_one_question(memory, source):
    source.gate.clear()
    waiting = [asyncio.ensure_future(memory.ask("S")) for _ in range(50)]
    await settle()
    source.gate.set()
    assert {actor.user_id for actor in await asyncio.gather(*waiting)} == {"U"}
    assert source.asked == ["S"]


async def test_who_goes_away_takes_the_answer_from_nobody_else(memory, source):
    source.gate.clear()
    first, second = (asyncio.ensure_future(memory.ask("S")) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    source.gate.set()
    assert (await second).user_id == "U"


async def test_older_answer_is_renewed_behind_the_back_of_requests(memory, source, now):
    await memory.ask("S")
    now[0] += RENEW_S + 0.0001
    source.gate.clear()
    assert [memory.recall("S").user_id for _ in range(10)] == ["U"] * 10
    await settle()
    assert source.asked == ["S", "S"], "one renewal, however many requests come meanwhile"
    source.gate.set()
    await settle()
    now[0] += BELIEVED_S - 0.01
    assert memory.recall("S"), "it counts from the renewal"


async def test_answer_is_believed_from_the_question_on_not_from_its_arrival(memory, source, now):
    source.gate.clear()
    asking = asyncio.ensure_future(memory.ask("S"))
    await settle()
    now[0] += BELIEVED_S - 0.1
    source.gate.set()
    await asking
    assert memory.recall("S")
    now[0] += 0.101
    assert memory.recall("S") is None


async def test_renewal_that_does_not_end_does_not_prolong_the_belief(memory, source, now):
    await memory.ask("S")
    now[0] += RENEW_S + 0.0001
    source.gate.clear()
    memory.recall("S")
    now[0] += BELIEVED_S - RENEW_S + 0.001
    assert memory.recall("S") is None


async def test_question_too_old_to_be_believed_is_asked_anew(memory, source, now):
    source.gate.clear()
    old = asyncio.ensure_future(memory.ask("S"))
    await settle()
    source.answers["S"] = None  # the session was ended meanwhile
    now[0] += BELIEVED_S + 0.001
    late = asyncio.ensure_future(memory.ask("S"))
    await settle()
    source.gate.set()
    assert (await old).user_id == "U"
    assert await late is None
    assert memory.recall("S") is None


async def test_renewal_that_finds_the_session_ended_ends_the_belief_at_once(memory, source, now):
    await memory.ask("S")
    source.answers["S"] = None
    now[0] += RENEW_S + 0.0001
    memory.recall("S")
    await settle()
    assert memory.recall("S") is None


async def test_renewal_that_fails_leaves_the_belief_until_its_end(memory, source, now):
    await memory.ask("S")
    source.answers["S"] = DatabaseUnavailableError("away")
    now[0] += RENEW_S + 0.0001
    memory.recall("S")
    await settle()
    assert memory.recall("S")
    now[0] += BELIEVED_S + 0.001
    with pytest.raises(DatabaseUnavailableError):
        await memory.ask("S")


@pytest.mark.parametrize("how", ["forget", "forget_user", "clear"])
async def test_what_was_asked_before_a_revocation_is_not_believed_after_it(memory, source, how):
    source.gate.clear()
    before = asyncio.ensure_future(memory.ask("S"))
    await settle()
    getattr(memory, how)(*{"forget": ["S"], "forget_user": ["U"], "clear": []}[how])
    source.answers["S"] = None
    after = asyncio.ensure_future(memory.ask("S"))
    await settle()
    source.gate.set()
    await before
    assert await after is None
    assert memory.recall("S") is None


async def test_memory_of_sessions_is_bounded(memory, source, monkeypatch):
    monkeypatch.setattr(module, "SIZE", 3)
    for key in "ABCDEF":
        source.answers[key] = Actor(key)
        await memory.ask(key)
    assert len(memory) == 3
    assert memory.recall("F")


# ---------------------------------------------------------------- verified tokens


class Counted:
    def __init__(self, tokens: Tokens) -> None:
        self.tokens, self.reads = tokens, 0

    def read(self, token):
        self.reads += 1
        return self.tokens.read(token)


@pytest.fixture
def clock() -> list[int]:
    return [START_MS]


@pytest.fixture
def counted(clock) -> Counted:
    return Counted(Tokens(AuthSettings(secret="s" * 40), clock=lambda: clock[0]))


@pytest.fixture
def verified(counted, clock) -> VerifiedTokens:
    return VerifiedTokens(counted, lambda: clock[0])


def test_token_is_verified_once(verified, counted):
    token = counted.tokens.issue("USER", "SESSION")
    assert [verified.read(token).user_id for _ in range(5)] == ["USER"] * 5
    assert counted.reads == 1


def test_token_is_not_remembered_past_its_exp(verified, counted, clock):
    token = counted.tokens.issue("USER", "SESSION")
    assert verified.read(token)
    clock[0] += 900_000
    assert verified.read(token), "within the leeway"
    assert counted.reads == 2
    clock[0] += (LEEWAY_S + 1) * 1000
    assert verified.read(token) is None
    assert len(verified) == 0


@pytest.mark.parametrize("token", ["", "é.é.é", "\ud800", "a.b.c", "x" * 7000], ids=ascii)
def test_bad_token_is_not_remembered(verified, token):
    assert verified.read(token) is None
    assert len(verified) == 0


def test_changed_token_is_not_taken_for_the_good_one(verified, counted):
    token = counted.tokens.issue("USER", "SESSION")
    assert verified.read(token)
    assert verified.read(f"{token[:-2]}{'A' if token[-2] != 'A' else 'B'}{token[-1]}") is None
    assert verified.read(token + " ") is None


def test_forgotten_token_is_verified_again(verified, counted):
    token = counted.tokens.issue("USER", "SESSION")
    verified.read(token)
    verified.forget(token)
    verified.read(token)
    assert counted.reads == 2


def test_memory_of_tokens_is_bounded_and_holds_no_token(verified, counted, monkeypatch):
    monkeypatch.setattr(module, "SIZE", 3)
    tokens = [counted.tokens.issue("USER", f"S{n}") for n in range(6)]
    for token in tokens:
        verified.read(token)
    assert len(verified) == 3
    assert not any(token in str(vars(verified)) for token in tokens)
