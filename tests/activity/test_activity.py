from __future__ import annotations

import asyncio

import pytest

import studio.activity as room
from studio import (
    SYSTEM,
    Actor,
    ConflictError,
    DatabaseUnavailableError,
    DeadlineExceededError,
    PayloadTooLargeError,
)
from studio.activity import ACTIVITY_COLLECTION, Activity, ActivityAction

pytestmark = pytest.mark.memory
ACTIONS = {"story.created": ActivityAction("story.created", "created {name}")}
ANN = Actor("ann", name="Ann")


class Repository:
    def __init__(self):
        self.stored: dict[str, dict] = {}
        self.failures: list[Exception] = []
        self.batches: list[int] = []

    async def insert_many(self, documents):
        """Store in order, up to the first that is there already or is too large, as a server does."""
        if self.failures:
            raise self.failures.pop(0)
        self.batches.append(len(documents))
        for document in documents:
            if document["_id"] in self.stored:
                raise ConflictError
            if document["params"].get("large"):
                raise PayloadTooLargeError
            self.stored[document["_id"]] = document


class Dispatcher:
    def __init__(self):
        self.told: list[tuple[str, dict]] = []

    def notify(self, hook, payload):
        self.told.append((hook, payload))


@pytest.fixture
async def house(monkeypatch):
    monkeypatch.setattr(room, "RETRY_S", 0.001)
    repository, dispatcher = Repository(), Dispatcher()
    activity = Activity({ACTIVITY_COLLECTION.name: repository}, dispatcher, ACTIONS)
    yield activity, repository, dispatcher
    await activity.stop()


async def test_activity_is_stored_in_its_documented_shape(house):
    activity, repository, _ = house
    target = {"type": "story", "id": "s1", "name": "Rain"}
    activity.log_activity("p1", ANN, "story.created", target, {"name": "Rain"}, "j1")
    await activity.flush()
    (document,) = repository.stored.values()
    at = document.pop("at")
    assert at > 1_700_000_000_000
    assert len(document.pop("_id")) == 26
    assert document == {
        "project_id": "p1",
        "actor": {"type": "user", "id": "ann", "name": "Ann"},
        "action": "story.created",
        "target": target,
        "params": {"name": "Rain"},
        "job_id": "j1",
        "visibility": "project",
    }


async def test_logging_returns_before_anything_is_stored(house):
    activity, repository, _ = house
    activity.log_activity("p1", SYSTEM, "story.created")
    assert repository.stored == {}
    await activity.flush()
    (document,) = repository.stored.values()
    assert document["actor"]["type"] == "system"


async def test_listeners_hear_of_an_activity_after_it_is_stored(house):
    activity, repository, dispatcher = house
    activity.log_activity("p1", ANN, "story.created")
    await activity.flush()
    assert dispatcher.told == [("activity_recorded", d) for d in repository.stored.values()]


async def test_many_activities_are_stored_in_batches_and_in_order(house):
    activity, repository, _ = house
    for number in range(450):
        activity.log_activity("p1", ANN, "story.created", params={"n": number})
    await activity.flush()
    assert repository.batches == [200, 200, 50]
    ids = [document["_id"] for document in repository.stored.values()]
    assert ids == sorted(ids)


async def test_undeclared_action_is_an_error_that_names_the_fix(house):
    activity, _, _ = house
    with pytest.raises(ValueError, match="register_activities"):
        activity.log_activity("p1", ANN, "story.burned")


async def test_undeclared_action_is_counted_when_not_strict():
    activity = Activity({}, Dispatcher(), ACTIONS, strict=False)
    activity.log_activity("p1", ANN, "story.burned")
    assert activity.dropped == 1


async def test_database_away_keeps_the_activities(house):
    activity, repository, dispatcher = house
    repository.failures = [DatabaseUnavailableError(), DatabaseUnavailableError()]
    activity.log_activity("p1", ANN, "story.created")
    await activity.flush()
    assert len(repository.stored) == len(dispatcher.told) == 1


async def test_half_stored_batch_is_completed_once(house):
    activity, repository, dispatcher = house
    activity.log_activity("p1", ANN, "story.created", params={"n": 1})
    activity.log_activity("p1", ANN, "story.created", params={"n": 2})
    first = activity._queue[0]
    repository.stored[first["_id"]] = first
    await activity.flush()
    assert [d["params"]["n"] for d in repository.stored.values()] == [1, 2]
    assert len(dispatcher.told) == 2


async def test_activity_that_can_never_be_stored_holds_up_no_other(house):
    activity, repository, dispatcher = house
    for number in range(450):
        activity.log_activity("p1", ANN, "story.created", params={"n": number, "large": number == 150})
    async with asyncio.timeout(10):
        await activity.flush()
    others = [number for number in range(450) if number != 150]
    assert [d["params"]["n"] for d in repository.stored.values()] == others
    assert [d["params"]["n"] for _, d in dispatcher.told] == others
    assert activity.dropped == 1


async def test_activity_that_breaks_the_writer_itself_holds_up_no_other(house):
    activity, repository, dispatcher = house
    for number in range(3):
        activity.log_activity("p1", ANN, "story.created", params={"n": number})
    repository.failures = [RecursionError(), RecursionError()]  # the batch, then the first of it
    async with asyncio.timeout(10):
        await activity.flush()
    assert [d["params"]["n"] for d in repository.stored.values()] == [1, 2]
    assert activity.dropped == 1
    assert len(dispatcher.told) == 2


async def test_activities_one_by_one_wait_for_a_database_that_goes_away(house):
    activity, repository, dispatcher = house
    for number in range(3):
        activity.log_activity("p1", ANN, "story.created", params={"n": number, "large": number == 1})
    repository.failures = [PayloadTooLargeError(), DeadlineExceededError(), DatabaseUnavailableError()]
    async with asyncio.timeout(10):
        await activity.flush()
    assert [d["params"]["n"] for d in repository.stored.values()] == [0, 2]
    assert len(dispatcher.told) == 2
    assert activity.dropped == 1


async def test_full_queue_drops_and_counts(house, monkeypatch):
    activity, repository, _ = house
    monkeypatch.setattr(room, "QUEUE", 3)
    for _ in range(5):
        activity.log_activity("p1", ANN, "story.created")
    assert activity.dropped == 2
    await activity.flush()
    assert len(repository.stored) == 3


async def test_stop_drains_the_queue(house):
    activity, repository, _ = house
    activity.log_activity("p1", ANN, "story.created")
    await activity.stop()
    assert len(repository.stored) == 1


async def test_stop_without_a_database_ends_in_time_and_counts(house, monkeypatch):
    activity, repository, _ = house
    monkeypatch.setattr(room, "DRAIN_S", 0.02)
    repository.failures = [DatabaseUnavailableError() for _ in range(10_000)]
    activity.log_activity("p1", ANN, "story.created")
    async with asyncio.timeout(10):
        await activity.stop()
    assert activity.dropped == 1


async def test_lifecycle_activity_targets_the_project(house, monkeypatch):
    activity, repository, _ = house
    monkeypatch.setitem(ACTIONS, "project.created", ActivityAction("project.created", "created {name}"))
    activity.log_project_lifecycle_activity({"_id": "p1", "name": "Rain"}, ANN, "project.created")
    await activity.flush()
    (document,) = repository.stored.values()
    assert document["target"] == {"type": "project", "id": "p1", "name": "Rain"}
    assert document["params"] == {"name": "Rain"}
