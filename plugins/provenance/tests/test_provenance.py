"""Signed takes: what is asked of the signer, what takes the file's place, and what happens without a signature."""

from __future__ import annotations

import json
import sys

import pytest

pytestmark = pytest.mark.child
ASSETS = "/api/assetGen/assets"


async def take_of(stage, story, slot="panel"):
    job = await story.generate(0, slot)
    assert job["state"] == "succeeded", job
    return await stage.world.db["assets"].get(job["result_asset_ids"][0])


async def test_signed_file_takes_the_place_of_the_file(stage, story):
    asset = await take_of(stage, story)
    assert asset["provenance"] == {"source": "ai", "c2pa": "signed", "manifest": "urn:c2pa:1"}
    shown = (await stage.world.get(f"{ASSETS}/{asset['_id']}")).json
    file = (await stage.world.get(shown["url"])).body
    assert file.endswith(b" signed")
    assert shown["blob"]["bytes"] == len(file)
    order = json.loads((stage.folder / "order.json").read_text())
    assert (order["mime"], order["alg"], order["certificate"], order["private_key"]) == (
        "image/png",
        "es256",
        "chain",
        "key",
    )
    (action,) = order["manifest"]["assertions"][0]["data"]["actions"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert action["softwareAgent"] == {"name": "fake"}
    assert order["manifest"]["claim_generator_info"] == [{"name": "Studio"}]


async def test_manifest_of_the_vendor_is_kept(stage, story):
    stage.mode("vendor")
    asset = await take_of(stage, story)
    assert asset["provenance"] == {"source": "ai", "c2pa": "vendor", "manifest": "urn:c2pa:vendor"}
    file = (await stage.world.get(f"{ASSETS}/{asset['_id']}/file")).body
    assert not file.endswith(b" signed")


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("error", "the key does not fit"),
        ("garbage", "ended with code 0"),
        ("crash", "out of memory"),
        ("hang", "0.4 s"),
        ("odd", "ValidationError"),
    ],
)
async def test_what_cannot_be_signed_is_kept_unless_a_signature_is_required(stage, story, mode, told):
    stage.mode(mode)
    stage.switch(deadline_s=0.4 if mode == "hang" else 8)
    asset = await take_of(stage, story)
    assert (asset["state"], asset["selected"]) == ("ready", True)
    assert told in asset["provenance"]["error"]
    stage.switch(required=True, deadline_s=0.4 if mode == "hang" else 8)
    job = await story.generate(1)
    assert (job["state"], job["error"]["code"]) == ("failed", "provenance_unavailable")
    assert told in job["error"]["message"]
    assert [one["state"] for one in await story.assets(**{"owner.id": story.shots[1]["id"]})] == [
        "quarantined"
    ]


async def test_format_that_nobody_can_sign_is_not_shown_where_a_signature_is_required(
    stage, story, monkeypatch
):
    monkeypatch.setattr(sys.modules["asset_gen_world"].FakeImages, "mime", "image/gif")
    assert (await take_of(stage, story))["provenance"] == {"source": "ai"}
    stage.switch(required=True)
    job = await story.generate(1)
    assert (job["state"], job["error"]["code"]) == ("failed", "provenance_unavailable")
    assert "image/gif cannot be signed" in job["error"]["message"]


async def test_a_key_that_went_away_is_told(stage, story):
    stage.switch(private_key=stage.folder / "gone.pem")
    signer = stage.world.services.providers.get("provenance", "c2pa")
    signer._target._settings = stage.ctx._settings
    try:
        asset = await take_of(stage, story)
    finally:
        stage.switch()
        signer._target._settings = stage.ctx._settings
    assert "cannot be read" in asset["provenance"]["error"]


async def test_platform_whose_signatures_are_required_is_not_ready_without_a_signer(open_world, tmp_path):
    async with open_world(tmp_path, plugins="provenance", STUDIO_PROVENANCE__REQUIRED="true") as world:
        answer = await world.get("/readyz")
        assert answer.status == 503
        note = answer.json["checks"]["provenance"]["note"]
        assert "pip install 'studio-provenance[c2pa]'" in note or "STUDIO_PROVENANCE__CERTIFICATE" in note


async def test_off_without_a_key_and_capabilities_say_what_to_set(open_world, tmp_path):
    async with open_world(tmp_path, plugins="provenance") as world:
        story = await world.story()
        job = await story.generate(0)
        (asset,) = await story.assets()
        assert (job["state"], asset["provenance"]) == ("succeeded", {"source": "ai"})
        assert (await world.get("/readyz")).json["checks"]["provenance"]["note"] == "off"
        rows = (await world.get("/api/capabilities")).json["providers"]
        (row,) = [one for one in rows if one["capability"] == "provenance"]
        assert row["available"] is False
        assert "install" in row["reason"] or "STUDIO_PROVENANCE__CERTIFICATE" in row["reason"]
