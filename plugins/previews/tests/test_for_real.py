"""With the real pack of local providers: a panel is drawn, and its thumbnail is a picture."""

from __future__ import annotations

import asyncio
import io

import pytest

pytestmark = pytest.mark.child
SCRIPT = "Title: Rain\n\nINT. KITCHEN - NIGHT\n\nMaya drops a cup.\n"


async def test_a_drawn_panel_has_a_thumbnail_that_can_be_decoded(client):
    from PIL import Image

    project = (await client.post("/api/workbench/projects", {"name": "Rain"})).json["id"]
    body = {"projectId": project, "text": SCRIPT, "format": "fountain"}
    story = (await client.post("/api/stories", body)).json["id"]
    scene = (await client.get(f"/api/stories/{story}/tree")).json["scenes"][0]["id"]
    shot = (await client.post(f"/api/stories/scenes/{scene}/shots", {"description": "A cup falls"})).json[
        "id"
    ]
    target = {"type": "shot", "id": shot, "slot": "panel"}
    job = (await client.post("/api/assetGen/generate", {"target": target, "provider": "local"})).json["job"][
        "id"
    ]
    done = await client.wait_for(f"/api/assetGen/jobs/{job}", lambda found: found["state"] == "succeeded")
    take = (await client.get(f"/api/assetGen/assets/{done['resultAssetIds'][0]}")).json
    small = await client.get(take["thumbnailUrl"])
    with await asyncio.to_thread(Image.open, io.BytesIO(small.bytes)) as image:
        assert (image.format, max(image.size)) == ("JPEG", 480)
        assert image.size[0] * take["media"]["height"] == image.size[1] * take["media"]["width"]
    assert len(take["blurhash"]) == 28
    assert {score["scorer"] for score in take["scores"]} == {"sharpness", "contrast", "exposure"}
    stored = await client.studio.services.database["assets"].get(take["id"])
    assert "finalizing" not in stored
