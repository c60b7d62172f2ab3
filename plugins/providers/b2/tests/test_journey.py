"""The whole house over HTTP: a line is ordered, spoken by one vendor, kept at another, and heard again."""

from __future__ import annotations

import hashlib

import pytest

from studio.testing.client import serving

pytestmark = pytest.mark.http
SCRIPT = "INT. KITCHEN - NIGHT\n\nMaya drops a cup.\n\nMAYA\nWho is there?\n"
DONE = ("succeeded", "failed", "cancelled")


@pytest.fixture
async def voices(load_fake):
    vendor = load_fake("elevenlabs").Fake()
    async with vendor.serving():
        yield vendor


@pytest.fixture
async def client(load_fake, voices, fake, fakes, tmp_path):
    named = {
        "STUDIO_ELEVENLABS__BASE_URL": voices.url,
        "STUDIO_ELEVENLABS__WORK_DIR": str(tmp_path / "spoken"),
        "STUDIO_ELEVENLABS__CREDIT_PRICE_UUSD": "200000",
        "ELEVENLABS_API_KEY": load_fake("elevenlabs").KEY,
        "STUDIO_B2__BASE_URL": fake.url,
        "STUDIO_B2__BUCKET": fakes.BUCKET,
        "STUDIO_B2__CACHE_DIR": str(tmp_path / "cache"),
        "B2_APPLICATION_KEY_ID": fakes.KEY_ID,
        "B2_APPLICATION_KEY": fakes.SECRET,
    }
    async with serving(tmp_path, **named) as nobody:
        yield await nobody.sign_in("ada@example.org")


async def line_of(client):
    """Make a story with one spoken line; returns what a voice is ordered for."""
    project = (await client.post("/api/workbench/projects", {"name": "Film"})).json
    body = {"projectId": project["id"], "text": SCRIPT, "format": "fountain"}
    story = (await client.post("/api/stories", body)).json
    tree = (await client.get(f"/api/stories/{story['id']}/tree")).json
    who = tree["characters"][0]["id"]
    shot = {"description": "Maya speaks", "durationMs": 2000, "characterIds": [who]}
    shot["lines"] = [{"characterId": who, "text": "Who is there?"}]
    made = await client.post(f"/api/stories/scenes/{tree['scenes'][0]['id']}/shots", shot)
    assert made.status == 201, made
    return {"type": "shot", "id": made.json["id"], "slot": f"voice:{made.json['lines'][0]['id']}"}


async def test_line_is_spoken_kept_and_heard(client, voices, fake, fakes, tmp_path):
    listed = (await client.get("/api/assetGen/voices?provider=elevenlabs")).json["items"]
    assert [row["id"] for row in listed] == [one["voice_id"] for one in voices.voices]
    made = await client.post(
        "/api/assetGen/generate", {"target": await line_of(client), "provider": "elevenlabs"}
    )
    assert made.status == 202, made
    path = f"/api/assetGen/jobs/{made.json['job']['id']}"
    job = await client.wait_for(path, lambda found: found["state"] in DONE)
    assert (job["state"], job["costUusd"]) == ("succeeded", 2_600), job
    asset = (await client.get(f"/api/assetGen/assets/{job['resultAssetIds'][0]}")).json
    assert [word["text"] for word in asset["media"]["words"]] == ["Who", "is", "there?"]
    heard = await client.get(asset["url"])
    assert (heard.status, heard.headers["Content-Type"]) == (200, "audio/mpeg")
    (key,) = fake.files
    assert fake.files[key][-1].body == heard.bytes
    assert hashlib.sha256(heard.bytes).hexdigest() in key
    assert voices.spoken[0]["text"] == "Who is there?"
    (tmp_path / "cache" / key).unlink()  # another machine, or a cache that was emptied
    assert (await client.get(asset["url"])).bytes == heard.bytes
    assert len(fake.asked("GET")) == 1
