from __future__ import annotations

import asyncio

import orjson
import pytest

import studio.realtime as room
from studio.realtime import Event, Message, Realtime

pytestmark = pytest.mark.memory
EVENTS = {
    "assetGenResponse": Event("assetGenResponse", "A job changed", legacy=True),
    "note": Event("note", "A note"),
}


class FakeCache:
    """Counters and channels in memory; `away` answers as the cache does without its server."""

    def __init__(self):
        self.counters: dict[str, int] = {}
        self.away = False
        self.listeners: list[asyncio.Queue[bytes]] = []

    async def incr(self, key, by=1, ttl_s=None):
        await asyncio.sleep(0)
        if self.away:
            return None
        self.counters[key] = self.counters.get(key, 0) + by
        return self.counters[key]

    async def publish(self, channel, data):
        for queue in self.listeners:
            queue.put_nowait(data)
        return not self.away

    async def subscribe(self, channel, ready=lambda: None):
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.listeners.append(queue)
        while True:
            yield await queue.get()


class Recorder:
    def __init__(self, name="recorder"):
        self.name = name
        self.messages: list[Message] = []
        self.cut: list[tuple[str, str | None]] = []
        self.closed = False

    async def send(self, message):
        self.messages.append(message)

    async def disconnect(self, user_id, *, session_id=None):
        self.cut.append((user_id, session_id))

    async def close(self):
        self.closed = True

    def numbers(self):
        return [message.seq for message in self.messages]


@pytest.fixture
async def cache():
    return FakeCache()


@pytest.fixture
async def make(cache):
    made = []

    async def start(*transports, cache=cache):
        realtime = Realtime(cache, EVENTS)
        realtime.transports.extend(transports)
        await realtime.start()
        made.append(realtime)
        await asyncio.sleep(0)
        return realtime

    yield start
    for realtime in made:
        await realtime.stop()


async def test_the_number_joins_what_is_sent_on_the_wire(make):
    recorder = Recorder()
    realtime = await make(recorder)
    realtime.publish("ann", "assetGenResponse", {"status": 200, "data": {"job": {"id": "j"}}})
    await realtime.flush()
    (message,) = recorder.messages
    assert message.wire == {"status": 200, "data": {"job": {"id": "j"}}, "seq": message.seq}


async def test_numbers_rise_by_one_per_target(make):
    recorder = Recorder()
    realtime = await make(recorder)
    for _ in range(5):
        realtime.publish("ann", "note", {})
        realtime.publish("bob", "note", {})
        realtime.publish_room("ann", "note", {})
    await realtime.flush()
    for target in (("user", "ann"), ("user", "bob"), ("room", "ann")):
        seqs = [m.seq for m in recorder.messages if (m.target, m.target_id) == target]
        assert seqs == list(range(seqs[0], seqs[0] + 5))


async def test_undeclared_event_is_an_error_that_names_the_fix(make):
    realtime = await make()
    with pytest.raises(ValueError, match="register_events"):
        realtime.publish("ann", "surprise", {})


async def test_publishing_never_waits_for_a_transport(make):
    gate = asyncio.Event()

    class Slow(Recorder):
        async def send(self, message):
            await gate.wait()
            await super().send(message)

    slow, quick = Slow("slow"), Recorder("quick")
    realtime = await make(slow, quick)
    realtime.publish("ann", "note", {"n": 1})
    realtime.publish("ann", "note", {"n": 2})
    await realtime._numbering.idle()
    for _ in range(5):
        await asyncio.sleep(0)
    assert [m.data["n"] for m in quick.messages] == [1, 2]
    assert slow.messages == []
    gate.set()
    await realtime.flush()
    assert [m.data["n"] for m in slow.messages] == [1, 2]


async def test_failing_transport_does_not_touch_the_others(make):
    class Broken(Recorder):
        async def send(self, message):
            raise RuntimeError("no")

    recorder = Recorder()
    realtime = await make(Broken("broken"), recorder)
    realtime.publish("ann", "note", {})
    await realtime.flush()
    assert len(recorder.messages) == 1


async def test_hanging_transport_is_given_up(make, monkeypatch):
    monkeypatch.setattr(room, "SEND_S", 0.01)

    class Hanging(Recorder):
        async def send(self, message):
            await asyncio.Event().wait()

    realtime = await make(Hanging())
    realtime.publish("ann", "note", {})
    async with asyncio.timeout(10):
        await realtime.flush()


async def test_numbers_go_on_while_redis_is_away(make, cache):
    recorder = Recorder()
    realtime = await make(recorder)
    for away in (False, True, True, False):
        cache.away = away
        realtime.publish("ann", "note", {})
        await realtime.flush()
    first = recorder.messages[0].seq
    assert recorder.numbers() == [first, first + 1, first + 2, first + 3]


async def test_numbers_never_go_back_when_redis_loses_its_data(make, cache):
    recorder = Recorder()
    realtime = await make(recorder)
    realtime.publish("ann", "note", {})
    await realtime.flush()
    cache.counters.clear()
    realtime.publish("ann", "note", {})
    await realtime.flush()
    first, second = recorder.numbers()
    assert second == first + 1


async def test_numbers_never_go_back_after_a_restart_without_data(make, cache):
    before, after = Recorder(), Recorder()
    realtime = await make(before)
    realtime.publish("ann", "note", {})
    await realtime.flush()
    cache.counters.clear()
    restarted = await make(after)
    restarted.publish("ann", "note", {})
    await restarted.flush()
    assert after.numbers()[0] >= before.numbers()[0]


async def test_numbers_never_go_back_after_a_restart_without_redis(make, cache):
    before, after = Recorder(), Recorder()
    cache.away = True
    realtime = await make(before)
    realtime.publish("ann", "note", {})
    await realtime.flush()
    restarted = await make(after)
    restarted.publish("ann", "note", {})
    await restarted.flush()
    assert after.numbers()[0] >= before.numbers()[0] > 1_600_000_000_000


async def test_dropped_messages_leave_a_gap_that_a_client_can_see(make, monkeypatch):
    monkeypatch.setattr(room, "LANE_LIMIT", 3)
    recorder = Recorder()
    realtime = await make(recorder)
    realtime.publish("ann", "note", {"n": 0})
    await realtime.flush()
    for number in range(1, 6):
        realtime.publish("ann", "note", {"n": number})
    await realtime.flush()
    numbers = recorder.numbers()
    assert realtime.dropped == 2
    assert numbers[-1] - numbers[0] == 5
    assert [m.data["n"] for m in recorder.messages] == [0, 1, 2, 3]


async def test_message_reaches_the_other_processes_once(make, cache):
    here, there = Recorder(), Recorder()
    realtime, other = await make(here), await make(there)
    realtime.publish("ann", "note", {"n": 1})
    await realtime.flush()
    await asyncio.sleep(0)
    await other.flush()
    assert here.messages == there.messages
    assert len(there.messages) == 1


async def test_shared_transport_is_used_by_the_publisher_only(make):
    here, there = Recorder(), Recorder()
    here.shared = there.shared = True
    realtime, other = await make(here), await make(there)
    realtime.publish("ann", "note", {})
    await realtime.flush()
    await asyncio.sleep(0)
    await other.flush()
    assert (len(here.messages), len(there.messages)) == (1, 0)


async def test_disconnect_reaches_every_process(make):
    here, there = Recorder(), Recorder()
    realtime, _ = await make(here), await make(there)
    await realtime.disconnect("ann", "s1")
    for _ in range(3):
        await asyncio.sleep(0)
    assert here.cut == there.cut == [("ann", "s1")]


@pytest.mark.parametrize(
    "forged",
    [
        b"\x80\x04cos\nsystem\n",
        b"[]",
        b"{}",
        b'{"origin":"x","target":1}',
        orjson.dumps({"origin": "x", "disconnect": 5}),
    ],
)
async def test_forged_channel_message_is_ignored(make, cache, forged):
    recorder = Recorder()
    realtime = await make(recorder)
    await cache.publish("realtime", forged)
    realtime.publish("ann", "note", {})
    await realtime.flush()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not realtime._listener.done()
    assert len(recorder.messages) == 1


async def test_stop_closes_the_transports(make):
    recorder = Recorder()
    realtime = await make(recorder)
    realtime.publish("ann", "note", {})
    await realtime.stop()
    assert recorder.closed
    assert len(recorder.messages) == 1


async def test_a_successor_takes_the_new_events_and_the_old_transport_keeps_the_legacy_ones(make):
    old, new, third = Recorder("socketio"), Recorder("centrifugo"), Recorder("sse")
    new.succeeds = "socketio"
    realtime = await make(old, new, third)
    for event in ("assetGenResponse", "note"):
        realtime.publish("ann", event, {})
    await realtime.flush()
    assert [m.event for m in old.messages] == ["assetGenResponse"]
    assert [m.event for m in new.messages] == ["note"]
    assert [m.event for m in third.messages] == ["assetGenResponse", "note"]


async def test_a_successor_of_nobody_takes_all(make):
    new = Recorder("centrifugo")
    new.succeeds = "socketio"
    realtime = await make(new)
    for event in ("assetGenResponse", "note"):
        realtime.publish("ann", event, {})
    await realtime.flush()
    assert [m.event for m in new.messages] == ["assetGenResponse", "note"]
