"""Ids that a user may write anywhere are of no use where they name somebody else's things."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

pytestmark = pytest.mark.http


async def ordered_references(stage, picture_of):
    """Give the stranger's character a reference picture, order a panel; return the references of the order."""
    own, operations = stage.stranger, {str(o): o for o in stage.api.operations}
    edit = stage.api.build(operations["PATCH /api/stories/characters/{character_id}"], own)
    edit = replace(edit, body={"refAssetIds": [picture_of.segments["assets"]["id"]]})
    assert (await stage.api.send(edit, own.token)).status == 200
    order = stage.api.build(operations["POST /api/assetGen/generate"], own)
    assert (await stage.api.send(order, own.token)).status == 202
    jobs = stage.studio.services.database["jobs"]
    project = own.names["project_id"]
    async with asyncio.timeout(10):
        newest, *_ = await jobs.find({"project_id": project, "kind": "image.generate"}, sort=[("_id", -1)])
    return newest["input"]["references"]


async def test_panel_takes_no_reference_picture_of_another_project(stage):
    assert len(await ordered_references(stage, stage.stranger)) == 1
    assert await ordered_references(stage, stage.owner) == []
