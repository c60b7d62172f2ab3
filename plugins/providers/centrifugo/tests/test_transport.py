"""Messages on their way: in order, once, in batches, bounded; an absent Centrifugo holds nobody up."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path

import pytest

from studio import Message, ProviderError, ProviderUnavailableError, UnavailableError
from studio_centrifugo.api import FrontendChannel, FrontendChannels, FrontendProduct
from studio_centrifugo.models import Outgoing, channel_name
from studio_centrifugo.settings import CentrifugoSettings

pytestmark = pytest.mark.http
REPLIES = json.loads((Path(__file__).parent / "payloads" / "replies.json").read_text())
ANN = FrontendChannel(FrontendChannels.MINIMATICS, "ann")
CHANNEL = "minimatics:user#ann"


class GuruChannels(FrontendProduct):
    GURU = "guru"


def note(number):
    return {"topic": "note", "data": {"n": number}}


async def until(done, timeout_s=10):
    async with asyncio.timeout(timeout_s):
        while not done():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("case", REPLIES, ids=lambda c: f"{c['method']}-{len(c['errors'])}")
def test_each_reply_inside_an_answer_is_read(case):
    message = Outgoing(case["method"], tuple(case["targets"]), "t", b"{}", "k", 0)
    errors = message.errors(case["reply"])
    assert {target: error["code"] for target, error in errors.items()} == case["errors"]


async def test_an_event_arrives_as_topic_and_data_with_its_number(transport_at, centrifugo):
    transport = transport_at(centrifugo.url)
    await transport.send(Message("user", "ann", "guruResponse", {"text": "hi"}, 7))
    await transport.send(Message("room", "project:p1", "job.updated", {"id": "j"}, 3))
    await transport.close()
    assert centrifugo.seen[CHANNEL] == [{"topic": "guruResponse", "data": {"text": "hi", "seq": 7}}]
    assert centrifugo.seen["rooms:project:p1"] == [{"topic": "job.updated", "data": {"id": "j", "seq": 3}}]
    [call] = centrifugo.calls
    assert (call.method, call.path) == ("POST", "/api/batch")
    assert call.headers["x-api-key"] == "centrifugo-api-key-of-a-fake"
    keys = [command["publish"]["idempotency_key"] for command in call.json["commands"]]
    assert len(set(keys)) == 2


async def test_messages_go_in_order_and_many_in_one_call(transport_at, centrifugo):
    transport = transport_at(centrifugo.url)
    for number in range(250):
        transport.publish(ANN, note(number))
    await until(lambda: transport.sender.queued == 0)
    await transport.close()
    assert [seen["data"]["n"] for seen in centrifugo.seen[CHANNEL]] == list(range(250))
    assert len(centrifugo.calls) == 3


@pytest.mark.parametrize("mode", ["lost", "cut", "500", "429", "malformed", "wrong_type", "redirect", "huge"])
async def test_a_call_that_breaks_is_repeated_and_nothing_is_shown_twice(transport_at, centrifugo, mode):
    centrifugo.retry_after_s = 0
    centrifugo.fail(mode, times=2)
    transport = transport_at(centrifugo.url)
    for number in range(5):
        transport.publish(ANN, note(number))
    await until(lambda: len(centrifugo.seen[CHANNEL]) == 5 and not transport.sender.queued)
    await transport.close()
    assert [seen["data"]["n"] for seen in centrifugo.seen[CHANNEL]] == [0, 1, 2, 3, 4]
    assert (transport.sender.sent, transport.sender.dropped, transport.sender.refused) == (5, 0, 0)
    assert len(centrifugo.calls) >= 2


async def test_an_error_inside_http_200_is_one(transport_at, centrifugo):
    transport = transport_at(centrifugo.url)
    transport.publish(FrontendChannel(GuruChannels.GURU, "ann"), note(1))
    transport.publish(ANN, note(2))
    await transport.close()
    assert (transport.sender.sent, transport.sender.refused) == (1, 1)
    assert list(centrifugo.seen) == [CHANNEL]


async def test_a_temporary_error_is_sent_again_and_only_what_failed(transport_at, centrifugo):
    centrifugo.codes.extend([0, 111, 0, 100])
    transport = transport_at(centrifugo.url)
    for number in range(3):
        transport.publish(ANN, note(number))
    await until(lambda: transport.sender.sent == 3)
    assert sorted(seen["data"]["n"] for seen in centrifugo.seen[CHANNEL]) == [0, 1, 2]
    assert [len(call.json["commands"]) for call in centrifugo.calls] == [3, 1, 1]


async def test_a_broadcast_is_one_command_and_each_channel_of_it_is_looked_at(transport_at, centrifugo):
    transport = transport_at(centrifugo.url)
    users = [FrontendChannel(FrontendChannels.MINIMATICS, name) for name in ("ann", "bob", "ann")]
    transport.broadcast([*users, FrontendChannel(GuruChannels.GURU, "eve")], note(1))
    transport.broadcast([], note(2))
    await transport.close()
    assert set(centrifugo.seen) == {CHANNEL, "minimatics:user#bob"}
    assert (transport.sender.sent, transport.sender.refused) == (2, 1)
    [command] = centrifugo.calls[0].json["commands"]
    assert command["broadcast"]["channels"] == [CHANNEL, "minimatics:user#bob", "guru:user#eve"]


async def test_a_batch_that_cannot_be_read_loses_only_the_message_at_fault(transport_at, centrifugo):
    transport = transport_at(centrifugo.url)
    centrifugo.fail("413", times=1)
    centrifugo.fail("422", times=1)
    for number in range(4):
        transport.publish(ANN, note(number))
    await until(lambda: transport.sender.queued == 0 and transport.sender.sent == 3)
    assert transport.sender.refused == 1
    assert [seen["data"]["n"] for seen in centrifugo.seen[CHANNEL]] == [1, 2, 3]


async def test_the_queue_is_bounded_and_the_oldest_give_way(transport_at):
    transport = transport_at("http://127.0.0.1:9", queue=10)
    start = time.perf_counter()
    for number in range(1_000):
        transport.publish(ANN, note(number))
    took = time.perf_counter() - start
    assert (transport.sender.queued, transport.sender.dropped) == (10, 990)
    await until(lambda: transport.sender.trouble)
    assert (transport.sender.queued, transport.sender.dropped) == (10, 990), (
        "what comes back keeps the bound too"
    )
    assert took < 0.5, "an absent Centrifugo must not hold up who publishes"


async def test_large_messages_fill_the_queue_by_size_and_one_too_large_is_refused(transport_at):
    transport = transport_at("http://127.0.0.1:9")
    for _ in range(100):
        transport.publish(ANN, {"topic": "t", "data": "x" * 240_000})
    assert transport.sender.queued == 66
    with pytest.raises(ValueError, match="250000"):
        transport.publish(ANN, {"topic": "t", "data": "x" * 260_000})


async def test_what_is_too_old_is_dropped_and_the_rest_comes_when_centrifugo_is_back(
    transport_at, centrifugo
):
    transport = transport_at(centrifugo.url, keep_s=0.3)
    centrifugo.fail("500", times=99)
    transport.publish(ANN, note(0))
    await until(lambda: transport.sender.dropped == 1)
    centrifugo._plans.clear()
    transport.publish(ANN, note(1))
    await until(lambda: transport.sender.sent == 1, 20)
    assert [seen["data"]["n"] for seen in centrifugo.seen[CHANNEL]] == [1]


async def test_the_stop_sends_what_is_queued_and_waits_no_longer_than_it_may(transport_at, centrifugo):
    transport = transport_at(centrifugo.url)
    transport.publish(ANN, note(1))
    await transport.close()
    assert len(centrifugo.seen[CHANNEL]) == 1
    centrifugo.fail("late", times=9)
    transport.publish(ANN, note(2))
    start = time.monotonic()
    await transport.close()
    assert 1 < time.monotonic() - start < 2
    assert (transport.sender.queued, transport.sender.dropped) == (0, 1)


async def test_a_wrong_key_is_told_by_the_check_and_keeps_the_messages(transport_at, centrifugo):
    transport = transport_at(centrifugo.url, api_key="another")
    transport.publish(ANN, note(1))
    await until(lambda: transport.sender.trouble)
    with pytest.raises(ProviderUnavailableError, match="API key"):
        await transport.check()
    assert (transport.sender.queued, transport.sender.sent) == (1, 0)


async def test_the_check_says_how_it_goes(transport_at, centrifugo):
    transport = transport_at(centrifugo.url)
    transport.publish(ANN, note(1))
    await until(lambda: transport.sender.sent == 1)
    assert await transport.check() == "1 sent, 0 dropped, 0 refused"
    with pytest.raises((ProviderError, UnavailableError)):
        await transport_at("http://127.0.0.1:9").check()


async def test_a_cut_is_queued_and_says_whether_to_come_back(transport_at, centrifugo):
    transport = transport_at(centrifugo.url)
    await transport.disconnect("ann")
    await transport.disconnect("ann", session_id="s1")
    await transport.close()
    assert centrifugo.cut == [("ann", 4501), ("ann", 4001)]


@pytest.mark.parametrize(
    "message", [{}, {"topic": "t"}, {"topic": 1, "data": 1}, {"topic": "t", "data": 1, "x": 1}]
)
async def test_a_message_of_another_shape_is_refused_where_it_is_made(transport_at, message):
    with pytest.raises(ValueError, match="topic"):
        transport_at("http://127.0.0.1:9").publish(ANN, message)


async def test_what_is_no_json_is_refused_where_it_is_made(transport_at):
    with pytest.raises(TypeError):
        transport_at("http://127.0.0.1:9").publish(ANN, {"topic": "t", "data": object()})


@pytest.mark.parametrize("user_id", ["", "a#b", "a,b"])
async def test_a_user_id_that_would_name_somebody_else_is_refused(transport_at, user_id):
    with pytest.raises(ValueError, match="user id"):
        FrontendChannel(FrontendChannels.MINIMATICS, user_id)
    with pytest.raises(ValueError, match="user id"):
        await transport_at("http://127.0.0.1:9").send(Message("user", user_id, "note", {}, 1))


@pytest.mark.parametrize("room", ["ä", "a\nb", "x" * 255])
def test_a_room_that_no_channel_can_carry_is_refused(room):
    with pytest.raises(ValueError, match="ASCII"):
        channel_name("rooms:{room}", room=room)


async def test_a_product_may_name_its_channels_in_its_own_way(transport_at, centrifugo):
    centrifugo.namespaces.add("g")
    transport = transport_at(centrifugo.url, channels={"guru": "g:u#{user_id}"})
    transport.publish(FrontendChannel(GuruChannels.GURU, "ann"), note(1))
    await transport.close()
    assert list(centrifugo.seen) == ["g:u#ann"]


def test_settings_that_cannot_work_are_refused():
    for bad in (
        {"api_url": "centrifugo:8000"},
        {"token_secret": "short"},
        {"channel": "with space"},
        {"keep_s": 300},
    ):
        with pytest.raises(ValueError, match=re.escape(next(iter(bad)))):
            CentrifugoSettings(**bad)
