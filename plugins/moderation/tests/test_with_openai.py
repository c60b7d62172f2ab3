"""With the plugin `openai` before its fake, over HTTP: what the vendor objects to is released to nobody."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.http


@pytest.fixture(scope="module")
async def vendor(load_fake):
    fakes = load_fake("openai")
    async with fakes.FakeOpenai().serving() as vendor:
        vendor.key = fakes.KEY
        yield vendor


@pytest.fixture(scope="module")
async def world(vendor, open_world, tmp_path_factory):
    own = {
        "STUDIO_OPENAI__BASE_URL": f"{vendor.url}/v1",
        "STUDIO_OPENAI__ALLOW_PRIVATE": "true",
        "STUDIO_OPENAI__API_KEY": vendor.key,
        "STUDIO_MODERATION__ENABLED": "true",
    }
    folder = tmp_path_factory.mktemp("openai")
    async with open_world(folder, plugins="moderation,openai", **own) as world:
        yield world


async def test_prompt_and_picture_are_judged_by_the_vendor(world, vendor):
    story = await world.story()
    passed = await story.generate(0, overrides={"prompt": "A calm harbour"})
    assert passed["state"] == "succeeded"
    kinds = [call.json["input"][0]["type"] for call in vendor.calls]
    assert sorted(kinds) == ["image_url", "text"]
    refused = await story.generate(0, overrides={"prompt": "A forbidden harbour"})
    assert (refused["error"]["code"], refused["error"]["input"]) == ("moderation_refused", "prompt")
    assert "violence" in refused["error"]["message"]
    listed = await world.get(f"/api/assetGen/assets?projectId={story.project_id}")
    assert [one["id"] for one in listed.json["items"]] == passed["result_asset_ids"]


async def test_vendor_that_is_down_releases_nothing(world, vendor):
    story = await world.story()
    vendor.fail("500", times=50)
    job = await story.generate(0)
    assert (job["state"], job["error"]["code"]) == ("failed", "moderation_unavailable")
    assert (await world.get(f"/api/assetGen/assets?projectId={story.project_id}")).json["items"] == []
