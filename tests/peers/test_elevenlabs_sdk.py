"""The official SDK and the plugin ask the same fake: what they send is compared, and both read the same answers."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import parse_qs

import pytest

from studio import MusicRequest, VoiceRequest
from studio.testing import InMemoryDatabase
from studio.testing.kit import Studio, running
from studio_elevenlabs.webhooks import verify

pytestmark = pytest.mark.peer
SDK = "elevenlabs==2.78.0"
VOICE = "voice000000000000001"
BODY = '{"type": "voice_removed", "event_timestamp": 1, "data": {"text": "été"}}'


def shown(call):
    """Return what of a call matters to the vendor."""
    body = json.loads(call.body) if call.body else None
    wanted = ("xi-api-key", "content-type")
    return (
        call.method,
        call.path,
        parse_qs(call.query),
        body,
        {name: call.headers.get(name) for name in wanted},
    )


@pytest.fixture(scope="module")
async def asked(load_fake, oracle, tmp_path_factory):
    """Let both ask for the same; returns (the SDK's calls, the plugin's calls, the SDK's answers, the plugin's)."""
    fakes = load_fake("elevenlabs")
    fake = fakes.Fake(voices=130)
    hooks = [[BODY, header, fakes.WEBHOOK_SECRET] for header in headers(fakes)]
    async with fake.serving():
        told = await asyncio.to_thread(
            oracle, "elevenlabs_sdk.py", [SDK], fake.url, fakes.KEY, VOICE, json.dumps(hooks)
        )
        by_sdk, fake.calls = fake.calls, []
        spoken = await speak(fakes, fake, tmp_path_factory.mktemp("elevenlabs"))
    return by_sdk, fake.calls, json.loads(told), spoken


def headers(fakes):
    good = fakes.sign(BODY.encode())
    old = fakes.sign(BODY.encode(), 1_000_000_000)
    return [good, good[:-1] + ("0" if good[-1] != "0" else "1"), old, good.replace("v0", "v1"), "", "t=1"]


async def speak(fakes, fake, folder):
    environ = {
        "STUDIO_ENV": "test",
        "STUDIO_CONFIG_DIR": str(folder),
        "STUDIO_PLUGINS__ENABLED": "elevenlabs",
        "STUDIO_LOGGING__LEVEL": "error",
        "STUDIO_ELEVENLABS__WORK_DIR": str(folder / "work"),
        "STUDIO_ELEVENLABS__BASE_URL": fake.url,
        "ELEVENLABS_API_KEY": fakes.KEY,
    }
    params = {"stability": 0.5, "similarity_boost": 0.8, "style": 0.0, "use_speaker_boost": True, "seed": 7}
    line = VoiceRequest(
        job_id="j", text="Hello dark sky.", voice=VOICE, model="eleven_flash_v2_5", language="de", rate=198,
        params=params,
    )  # fmt: skip
    async with running(Studio(environ=environ, database=InMemoryDatabase())) as studio:
        voice = studio.services.providers.get("voice", "elevenlabs")
        timed = await voice.submit(line)
        voices = await voice.voices()
        music = studio.services.providers.get("music", "elevenlabs")
        bed = await music.submit(MusicRequest(job_id="m", prompt="A low drone", duration_ms=12_000))
    environ["STUDIO_ELEVENLABS__TIMESTAMPS"] = "false"
    async with running(Studio(environ=environ, database=InMemoryDatabase())) as studio:
        voice = studio.services.providers.get("voice", "elevenlabs")
        plain = await voice.submit(VoiceRequest(job_id="k", text="hi", voice=VOICE))
    return timed, plain, voices, bed


def test_speech_is_asked_for_as_the_sdk_does(asked):
    by_sdk, by_plugin, _, _ = asked
    mine = next(call for call in by_plugin if call.path.endswith("with-timestamps"))
    theirs = next(call for call in by_sdk if call.path.endswith("with-timestamps"))
    assert shown(mine) == shown(theirs)


def test_plain_speech_is_asked_for_as_the_sdk_does_but_for_the_format_that_it_leaves_out(asked):
    by_sdk, by_plugin, _, _ = asked
    mine = next(call for call in by_plugin if call.path == f"/v1/text-to-speech/{VOICE}")
    theirs = next(call for call in by_sdk if call.path == f"/v1/text-to-speech/{VOICE}")
    assert parse_qs(mine.query) == {"output_format": ["mp3_44100_128"]}
    assert (mine.path, mine.json) == (theirs.path, theirs.json)


def test_music_is_asked_for_as_the_sdk_does(asked):
    by_sdk, by_plugin, _, _ = asked
    mine, theirs = ([call for call in calls if call.path == "/v1/music"] for calls in (by_plugin, by_sdk))
    assert [shown(call) for call in mine] == [shown(call) for call in theirs]
    assert len(mine) == 1


def test_voices_are_asked_for_page_by_page_as_the_sdk_does(asked):
    by_sdk, by_plugin, told, (_, _, voices, _) = asked
    mine = [shown(call)[:4] for call in by_plugin if call.method == "GET"]
    theirs = [shown(call)[:4] for call in by_sdk if call.method == "GET"]
    assert mine == theirs
    assert [voice.id for voice in voices] == [voice for page in told["pages"] for voice in page]


def test_both_read_the_same_answer(asked):
    _, _, told, (timed, plain, _, bed) = asked
    file = timed.files[0]
    assert file.path.stat().st_size == told["audio"]
    assert plain.files[0].path.stat().st_size == told["plain"]
    assert bed.files[0].path.stat().st_size == told["music"]
    assert told["characters"] == "Hello dark sky."
    assert [word.start_ms for word in file.words] == [round(told["starts"][at] * 1000) for at in (0, 6, 11)]
    assert timed.usage["credits"] == int(told["cost"])
    assert told["request_id"] == "req0001"
    assert told["refused"] == "voice_not_found"


def test_both_take_and_refuse_the_same_webhooks(asked, load_fake):
    from studio import UnauthenticatedError, WebhookCall, now_ms

    fakes = load_fake("elevenlabs")

    def taken(header):
        call = WebhookCall(
            path="/", headers={"elevenlabs-signature": header}, body=BODY.encode(), received_at=now_ms()
        )
        try:
            verify(call, fakes.WEBHOOK_SECRET)
        except UnauthenticatedError:
            return None
        return "voice_removed"

    mine = [taken(header) for header in headers(fakes)]
    assert mine == asked[2]["hooks"] == ["voice_removed", *[None] * 5]
