from __future__ import annotations

import asyncio

import pytest

from studio import Message
from studio_sse import hub as room
from studio_sse.hub import EventHub, Stream
from studio_sse.settings import SseSettings

pytestmark = pytest.mark.memory
ANN, ROOM = ("user", "ann"), ("room", "project:p1")


def message(seq, key=ANN, **data):
    return Message(*key, "note", data, seq)


def opened(hub, keys=(ANN,), last=""):
    stream = Stream(list(keys), "s1", None)
    hub.open(stream, last)
    return stream


def text(stream):
    return b"".join(stream._queue).decode()


async def test_event_carries_name_data_and_number():
    hub = EventHub(SseSettings())
    stream = opened(hub)
    await hub.send(message(7, n=1))
    assert text(stream).endswith('id: 7\nevent: note\ndata: {"n":1,"seq":7}\n\n')


async def test_fresh_stream_gets_no_old_events_and_no_resync():
    hub = EventHub(SseSettings())
    await hub.send(message(7))
    assert text(opened(hub)) == "id: 7\n\n"


async def test_stream_that_comes_back_gets_what_it_missed_once():
    hub = EventHub(SseSettings())
    for seq in (7, 8, 9):
        await hub.send(message(seq))
    resumed = text(opened(hub, last="7"))
    assert [line for line in resumed.splitlines() if line.startswith("id:")] == ["id: 8", "id: 9", "id: 9"]
    assert "resync" not in resumed


async def test_stream_that_missed_nothing_gets_nothing():
    hub = EventHub(SseSettings())
    await hub.send(message(7))
    assert text(opened(hub, last="7")) == "id: 7\n\n"


@pytest.mark.parametrize("last", ["5", "12", "abc", "7.8", "-1", "9" * 30, "²"])
async def test_gap_that_cannot_be_filled_is_told(last):
    hub = EventHub(SseSettings())
    for seq in (7, 8, 9):
        await hub.send(message(seq))
    assert "event: resync" in text(opened(hub, last=last))


async def test_restart_of_the_server_is_told_as_a_gap():
    assert "event: resync" in text(opened(EventHub(SseSettings()), last="7"))


async def test_jump_in_the_numbers_cannot_be_resumed_across():
    hub = EventHub(SseSettings())
    await hub.send(message(7))
    await hub.send(message(20))
    assert "event: resync" in text(opened(hub, last="7"))
    assert "event: resync" not in text(opened(hub, last="20"))


async def test_position_counts_every_target_of_the_stream():
    hub = EventHub(SseSettings())
    stream = opened(hub, (ANN, ROOM))
    await hub.send(message(7))
    await hub.send(message(3, ROOM))
    assert "id: 7.3\n" in text(stream)
    await hub.send(message(4, ROOM))
    assert "id: 7.4\n" in text(opened(hub, (ANN, ROOM), "7.3"))


async def test_log_keeps_the_last_200_messages_per_target():
    hub = EventHub(SseSettings())
    for seq in range(1, 302):
        await hub.send(message(seq))
    assert "event: resync" not in text(opened(hub, last="250"))
    assert "event: resync" in text(opened(hub, last="100"))


async def test_log_keeps_a_bounded_number_of_targets(monkeypatch):
    monkeypatch.setattr(room, "LOG_TARGETS", 3)
    hub = EventHub(SseSettings())
    for number in range(10):
        await hub.send(message(1, ("user", str(number))))
    assert list(hub._log) == [("user", "7"), ("user", "8"), ("user", "9")]


async def test_other_users_events_stay_away():
    hub = EventHub(SseSettings())
    stream = opened(hub)
    await hub.send(message(7, ("user", "bob"), secret=1))
    assert "secret" not in text(stream)


class Transport(asyncio.WriteTransport):
    aborted = False

    def abort(self):
        self.aborted = True


@pytest.mark.parametrize(("count", "size"), [(150, 10), (20, 100_000)])
async def test_slow_client_is_cut_at_100_events_or_1_mb(count, size):
    hub, transport = EventHub(SseSettings()), Transport()
    stream = Stream([ANN], "s1", transport)
    hub.open(stream, "")
    for seq in range(1, count):
        await hub.send(message(seq, text="x" * size))
    assert transport.aborted
    assert stream.ended
    assert not stream._queue


async def test_quiet_stream_gets_a_comment():
    stream = Stream([ANN], "s1", None, heartbeat_s=0.01)
    chunks = stream.chunks()
    assert await anext(chunks) == b": still here\n\n"
    await chunks.aclose()


async def test_disconnect_ends_one_session_or_all():
    hub = EventHub(SseSettings())
    one, two = Stream([ANN], "s1", None), Stream([ANN], "s2", None)
    for stream in (one, two):
        hub.open(stream, "")
    await hub.disconnect("ann", session_id="s1")
    assert (one.ended, two.ended) == (True, False)
    await hub.disconnect("ann")
    assert two.ended


async def test_close_spreads_the_return_of_the_clients():
    hub = EventHub(SseSettings())
    stream = opened(hub)
    await hub.close()
    assert stream.ended
    assert "retry: " in text(stream)


async def test_forgotten_stream_leaves_nothing_behind():
    hub = EventHub(SseSettings())
    stream = opened(hub, (ANN, ROOM))
    hub.forget(stream)
    assert not hub._streams
