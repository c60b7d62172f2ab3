"""Tokens over HTTP, and Centrifugo beside Socket.IO in a whole Studio: no client gets an event twice."""

from __future__ import annotations

import asyncio
import time

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from studio.testing.client import serving
from studio_centrifugo.api import FrontendChannel, FrontendChannels, FrontendPublisher
from studio_centrifugo.transport import CentrifugoTransport

pytestmark = pytest.mark.http
SECRET = "a token secret of the fake, long enough"


class Recorder:
    name = "recorder"

    def __init__(self):
        self.seen = []

    async def send(self, message):
        self.seen.append(message.event)

    async def disconnect(self, user_id, *, session_id=None):
        pass


@pytest.fixture
def named(centrifugo_fakes):
    return {
        "CENTRIFUGO_API_KEY": centrifugo_fakes.KEY,
        "CENTRIFUGO_TOKEN_SECRET": SECRET,
        "STUDIO_CENTRIFUGO__WS_URL": "wss://live.example.com/connection/websocket",
    }


async def ann_at(anonymous):
    return await anonymous.sign_in("ann@example.org")


async def test_a_token_names_the_caller_and_lives_shortly(tmp_path, centrifugo, named):
    async with serving(tmp_path, CENTRIFUGO_API_URL=f"{centrifugo.url}/api", **named) as anonymous:
        assert (await anonymous.post("/api/centrifugo/token")).status == 401
        ann = await ann_at(anonymous)
        answer = await ann.post("/api/centrifugo/token")
    assert answer.status == 200
    assert answer.json["url"] == "wss://live.example.com/connection/websocket"
    assert answer.json["channel"] == f"minimatics:user#{ann.user['id']}"
    token = jwt.decode(answer.json["token"], OctKey.import_key(SECRET), algorithms=["HS256"])
    assert token.header["alg"] == "HS256"
    assert token.claims["sub"] == ann.user["id"]
    assert 290 <= token.claims["exp"] - time.time() <= 300
    assert answer.json["expiresAt"] == token.claims["exp"] * 1000
    assert set(token.claims) == {"sub", "iat", "exp", "jti"}


async def test_a_subscription_is_for_whoever_may_read_the_project(tmp_path, centrifugo, named):
    async with serving(tmp_path, CENTRIFUGO_API_URL=f"{centrifugo.url}/api", **named) as anonymous:
        ann, eve = await ann_at(anonymous), await anonymous.sign_in("eve@example.org")
        project = (await ann.post("/api/workbench/projects", {"name": "Film"})).json["id"]
        answer = await ann.post("/api/centrifugo/subscription", {"project": project})
        assert answer.json["channel"] == f"rooms:project:{project}"
        claims = jwt.decode(answer.json["token"], OctKey.import_key(SECRET), algorithms=["HS256"]).claims
        assert (claims["sub"], claims["channel"]) == (ann.user["id"], f"rooms:project:{project}")
        assert (await eve.post("/api/centrifugo/subscription", {"project": project})).status == 404
        assert (await eve.post("/api/centrifugo/subscription", {"project": "x"})).status == 404


async def test_without_centrifugo_the_routes_say_what_to_set_and_publishing_goes_nowhere(tmp_path):
    async with serving(tmp_path) as anonymous:
        ann = await ann_at(anonymous)
        answer = await ann.post("/api/centrifugo/token")
        assert answer.status == 503
        assert "STUDIO_CENTRIFUGO__TOKEN_SECRET" in answer.json["detail"]
        services = anonymous.studio.services
        assert "centrifugo" not in [t.name for t in services.realtime.transports]
        publisher = services.provided[FrontendPublisher][1]
        publisher.publish(FrontendChannel(FrontendChannels.MINIMATICS, "ann"), {"topic": "t", "data": 1})
        with pytest.raises(ValueError, match="topic"):
            publisher.publish(FrontendChannel(FrontendChannels.MINIMATICS, "ann"), {"data": 1})


async def test_new_events_go_to_centrifugo_the_old_ones_stay_and_nobody_gets_one_twice(
    tmp_path, centrifugo, named
):
    async with serving(tmp_path, CENTRIFUGO_API_URL=f"{centrifugo.url}/api", **named) as anonymous:
        realtime = anonymous.studio.services.realtime
        old, third = Recorder(), Recorder()
        old.name = "socketio"
        realtime.transports[:] = [t for t in realtime.transports if t.name == "centrifugo"] + [old, third]
        for event in ("assetGenResponse", "job.updated", "activity.created"):
            realtime.publish("ann", event, {})
        await realtime.flush()
        await anonymous.studio.services.provided[CentrifugoTransport][1].sender.finish(5)
    assert old.seen == ["assetGenResponse"]
    assert [seen["topic"] for seen in centrifugo.seen["minimatics:user#ann"]] == [
        "job.updated",
        "activity.created",
    ]
    assert third.seen == ["assetGenResponse", "job.updated", "activity.created"]


async def test_without_socketio_centrifugo_carries_the_old_events_too(tmp_path, centrifugo, named):
    off = {"STUDIO_PLUGINS__DISABLED": '["embedded", "streaq", "socketio"]'}
    async with serving(tmp_path, CENTRIFUGO_API_URL=f"{centrifugo.url}/api", **named, **off) as anonymous:
        anonymous.studio.services.realtime.publish("ann", "assetGenResponse", {"data": 1})
        await anonymous.studio.services.realtime.flush()
    [seen] = centrifugo.seen["minimatics:user#ann"]
    assert seen["topic"] == "assetGenResponse"


async def test_what_was_published_last_is_sent_at_the_stop(tmp_path, centrifugo, named):
    async with serving(tmp_path, CENTRIFUGO_API_URL=f"{centrifugo.url}/api", **named) as anonymous:
        for _ in range(20):
            anonymous.studio.services.realtime.publish("ann", "job.updated", {})
    seqs = [seen["data"]["seq"] for seen in centrifugo.seen["minimatics:user#ann"]]
    assert seqs == list(range(seqs[0], seqs[0] + 20))


async def test_an_absent_centrifugo_delays_no_request(tmp_path, centrifugo, named):
    centrifugo.fail("late", times=10_000)
    async with serving(tmp_path, CENTRIFUGO_API_URL=f"{centrifugo.url}/api", **named) as anonymous:
        ann = await ann_at(anonymous)
        realtime = anonymous.studio.services.realtime
        took = []
        for _ in range(20):
            realtime.publish(ann.user["id"], "job.updated", {})
            start = time.perf_counter()
            assert (await ann.get("/api/auth/me")).status == 200
            took.append(time.perf_counter() - start)
        async with asyncio.timeout(5):
            while not centrifugo.calls:
                await asyncio.sleep(0.01)
        start = time.perf_counter()
        assert (await ann.post("/api/auth/logout")).status < 300
        assert time.perf_counter() - start < 1, "a sign-out must not wait for Centrifugo"
        ready = (await anonymous.get("/readyz")).json
    assert sorted(took)[10] < 0.1
    assert "centrifugo" in str(ready)
