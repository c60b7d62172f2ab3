"""What the activity log asks of the database, on a real server."""

from __future__ import annotations

import asyncio

import pytest

from studio import Actor
from studio.activity import ACTIVITY_COLLECTION, Activity, ActivityAction
from studio.dispatch import Dispatcher

pytestmark = pytest.mark.database
NEVER = {"name with a NUL": {"a\0b": 1}, "large": {"text": "x" * 17_000_000}, "number": {"n": 2**70}}


@pytest.mark.parametrize("params", NEVER.values(), ids=NEVER)
async def test_what_the_database_refuses_for_good_holds_up_no_other(database, params):
    database.declare([("studio", ACTIVITY_COLLECTION)])
    activity = Activity(database, Dispatcher({}), {"done": ActivityAction("done", "done")})
    activity.log_activity(str(sorted(params)), Actor("ann"), "done", params={"n": 1})
    activity.log_activity(str(sorted(params)), Actor("ann"), "done", params=params)
    activity.log_activity(str(sorted(params)), Actor("ann"), "done", params={"n": 3})
    async with asyncio.timeout(10):
        await activity.flush()
    found = await database["projectActivities"].find({"project_id": str(sorted(params))}, sort=[("_id", 1)])
    assert [document["params"] for document in found] == [{"n": 1}, {"n": 3}]
    assert activity.dropped == 1
