"""What every backend does alike: the in-memory twin, the embedded server; `tests/compat` adds drivers."""

from __future__ import annotations

import asyncio
import datetime as dt
import enum

import pytest

from studio import (
    Collection,
    ConflictError,
    Database,
    Index,
    InvalidInputError,
    PayloadTooLargeError,
    Repository,
    StudioError,
    now_ms,
)

pytestmark = pytest.mark.database

COLLECTIONS = [
    Collection("things"),
    Collection("shots", database="stories", indexes=(Index((("scene_id", 1), ("order", 1))),)),
    Collection(
        "unique",
        indexes=(
            Index((("email", 1),), unique=True, partial={"email": {"$exists": True}}),
            Index((("project_id", 1), ("slot", 1)), unique=True, partial={"slot": {"$exists": True}}),
            Index((("story_id", 1), ("name", 1)), unique=True, case_insensitive=True),
        ),
    ),
    Collection("strict", indexes=(Index((("tags", 1),), unique=True),)),
    Collection("older", defaults={"tags": [], "looks": {"hair": []}, "count": 0, "owner_id": ...}),
]
"""What the `backend` fixture declares."""


@pytest.fixture
async def things(backend: Database) -> Repository:
    await backend["things"].delete({}, many=True)
    return backend["things"]


@pytest.fixture
async def older(backend: Database) -> Repository:
    """A document of a time when only `owner_id` was known, and one of a time before that."""
    repository = backend["older"]
    await repository.delete({}, many=True)
    await repository.insert_many([{"_id": "a", "owner_id": "ann", "name": "A"}, {"_id": "b", "name": "B"}])
    return repository


@pytest.fixture
async def unique(backend: Database) -> Repository:
    await backend["unique"].delete({}, many=True)
    return backend["unique"]


FILTER_DOCUMENTS = [
    {"_id": "a", "n": 1, "s": "one", "tags": ["x", "y"], "at": {"x": 1, "y": 2}, "none": None},
    {"_id": "b", "n": 2, "s": "two", "tags": ["y"], "at": {"y": 2, "x": 1}, "ok": True},
    {"_id": "c", "n": 3.5, "s": "three", "tags": [], "lines": [{"by": "ann", "n": 1}, {"by": "bob", "n": 5}]},
    {"_id": "d", "n": "4", "s": "four", "lines": [{"by": "bob", "n": 1}], "ok": 1, "deep": {"a": {"b": "x"}}},
    {"_id": "e", "scores": [1, 9], "pair": [["x", "y"]], "lines": [{"n": None}, {}], "deep": {"a": 5}},
]
FILTERS = [
    ({}, "abcde"),
    ({"_id": "a"}, "a"),
    ({"_id": "a", "n": 2}, ""),
    ({"n": 1}, "a"),
    ({"n": 1.0}, "a"),
    ({"n": "4"}, "d"),
    ({"ok": True}, "b"),
    ({"ok": 1}, "d"),
    ({"tags": "y"}, "ab"),
    ({"tags": ["x", "y"]}, "a"),
    ({"tags": ["y", "x"]}, ""),
    ({"tags": []}, "c"),
    ({"tags.0": "y"}, "b"),
    ({"pair": ["x", "y"]}, "e"),
    ({"at": {"x": 1, "y": 2}}, "a"),
    ({"at.x": 1}, "ab"),
    ({"deep.a.b": "x"}, "d"),
    ({"deep.a.b": None}, "abce"),
    ({"none": None}, "abcde"),
    ({"lines.by": "bob"}, "cd"),
    ({"lines.1.by": "bob"}, "c"),
    ({"lines.n": None}, "abe"),
    ({"n": {"$gt": 1}}, "bc"),
    ({"n": {"$gte": 1, "$lt": 3}}, "ab"),
    ({"s": {"$lte": "one"}}, "ad"),
    ({"scores": {"$gt": 8}}, "e"),
    ({"scores": {"$gt": 2, "$lt": 5}}, "e"),
    ({"scores": {"$elemMatch": {"$gt": 2, "$lt": 5}}}, ""),
    ({"scores": {"$elemMatch": {"$gt": 5}}}, "e"),
    ({"lines": {"$elemMatch": {"by": "bob", "n": 1}}}, "d"),
    ({"lines": {"$elemMatch": {"by": "bob", "n": {"$gt": 2}}}}, "c"),
    ({"n": {"$in": [1, "4"]}}, "ad"),
    ({"tags": {"$in": ["x", "nope"]}}, "a"),
    ({"none": {"$in": [None]}}, "abcde"),
    ({"n": {"$in": []}}, ""),
    ({"n": {"$nin": [1, 2]}}, "cde"),
    ({"n": {"$ne": 1}}, "bcde"),
    ({"tags": {"$ne": "y"}}, "cde"),
    ({"tags": {"$exists": True}}, "abc"),
    ({"none": {"$exists": True}}, "a"),
    ({"lines.by": {"$exists": False}}, "abe"),
    ({"$or": [{"n": 1}, {"s": "two"}]}, "ab"),
    ({"$and": [{"tags": "y"}, {"$or": [{"n": 2}, {"n": 3}]}]}, "b"),
    ({"s": {"$gt": "a"}, "$or": [{"ok": {"$exists": True}}, {"n": 1}]}, "abd"),
]


@pytest.mark.parametrize(("where", "expected"), FILTERS, ids=lambda value: str(value)[:48])
async def test_filter_finds_the_same_everywhere(filtered: Repository, where, expected):
    found = sorted(document["_id"] for document in await filtered.find(where))
    assert "".join(found) == expected
    assert await filtered.count(where) == len(expected)


@pytest.fixture(scope="module")
async def filtered(backend: Database) -> Repository:
    repository = backend["shots"]
    await repository.insert_many(FILTER_DOCUMENTS)
    return repository


START = {
    "n": 1,
    "s": "x",
    "tags": ["a", "b", "a"],
    "rows": [{"k": 1, "v": 1}, {"k": 2, "v": 2}],
    "sub": {"a": 1},
}
UPDATES = [
    ({"$set": {"n": 2, "new.deep.path": True}}, {"n": 2, "new": {"deep": {"path": True}}}),
    ({"$set": {"rows.1.v": 9}}, {"rows": [{"k": 1, "v": 1}, {"k": 2, "v": 9}]}),
    ({"$set": {"tags.4": "e"}}, {"tags": ["a", "b", "a", None, "e"]}),
    ({"$set": {"sub": {"b": 2}}}, {"sub": {"b": 2}}),
    ({"$unset": {"s": "", "sub.a": "", "nope.x": ""}}, {"s": ..., "sub": {}}),
    ({"$inc": {"n": 4, "count": 2, "sub.a": -1}}, {"n": 5, "count": 2, "sub": {"a": 0}}),
    ({"$inc": {"n": 0.5}}, {"n": 1.5}),
    ({"$push": {"tags": "c", "fresh": 1}}, {"tags": ["a", "b", "a", "c"], "fresh": [1]}),
    ({"$push": {"tags": {"$each": ["c", "d"], "$slice": -2}}}, {"tags": ["c", "d"]}),
    ({"$push": {"tags": ["c"]}}, {"tags": ["a", "b", "a", ["c"]]}),
    ({"$addToSet": {"tags": "a"}}, {"tags": ["a", "b", "a"]}),
    ({"$addToSet": {"tags": {"$each": ["b", "z"]}}}, {"tags": ["a", "b", "a", "z"]}),
    ({"$addToSet": {"rows": {"k": 1, "v": 1}}}, {"rows": START["rows"]}),
    ({"$pull": {"tags": "a"}}, {"tags": ["b"]}),
    ({"$pull": {"tags": {"$in": ["a", "b"]}}}, {"tags": []}),
    ({"$pull": {"rows": {"k": 1}}}, {"rows": [{"k": 2, "v": 2}]}),
    ({"$pull": {"rows": {"v": {"$gt": 1}}}}, {"rows": [{"k": 1, "v": 1}]}),
    ({"$pull": {"nope": 1}}, {}),
    (
        {"$set": {"n": 7}, "$unset": {"s": ""}, "$push": {"tags": "z"}},
        {"n": 7, "s": ..., "tags": ["a", "b", "a", "z"]},
    ),
    ({"$setOnInsert": {"n": 99}}, {}),
]


@pytest.mark.parametrize(("change", "expected"), UPDATES, ids=lambda value: str(value)[:48])
async def test_update_changes_the_same_everywhere(things: Repository, change, expected):
    await things.insert({"_id": "t", **START})
    assert await things.update("t", change) == 1
    wanted = {key: value for key, value in {**START, **expected}.items() if value is not ...}
    found = await things.get("t")
    assert {
        key: value for key, value in found.items() if key not in {"_id", "created_at", "updated_at"}
    } == wanted


REFUSED = [
    {"$inc": {"s": 1}},
    {"$inc": {"n": "1"}},
    {"$push": {"n": 1}},
    {"$addToSet": {"s": 1}},
    {"$pull": {"s": 1}},
    {"$set": {"n.x": 1}},
    {"$set": {"tags.x": 1}},
    {"$set": {"n": 1}, "$inc": {"n": 1}},
    {"$set": {"sub": 1, "sub.a": 2}},
    {"$set": {"_id": "other"}},
    {"$set": {"a..b": 1}},
]


@pytest.mark.parametrize("change", REFUSED, ids=str)
async def test_impossible_update_is_a_studio_error_and_changes_nothing(things: Repository, change):
    await things.insert({"_id": "t", **START})
    before = await things.get("t")
    with pytest.raises(StudioError):
        await things.update("t", change)
    assert await things.get("t") == before


@pytest.mark.parametrize(
    "change", [{}, {"n": 1}, {"$rename": {"n": "m"}}, {"$set": {"rows.$.v": 1}}], ids=str
)
async def test_update_outside_the_contract_is_a_value_error(things: Repository, change):
    with pytest.raises(ValueError, match="an update is made of"):
        await things.update("t", change)


async def test_insert_sets_id_and_times_and_leaves_the_callers_document_alone(things: Repository):
    given = {"n": 1}
    stored = await things.insert(given)
    assert given == {"n": 1}
    assert len(stored["_id"]) == 26
    assert abs(stored["created_at"] - now_ms()) < 5_000
    assert stored["updated_at"] == stored["created_at"]
    assert await things.get(stored["_id"]) == stored


async def test_insert_keeps_what_is_given(things: Repository):
    await things.insert({"_id": "mine", "created_at": 5, "updated_at": 6})
    assert await things.get("mine") == {"_id": "mine", "created_at": 5, "updated_at": 6}


async def test_stored_document_is_not_shared_with_the_caller(things: Repository):
    given = {"_id": "x", "list": [1], "sub": {"a": [1]}}
    await things.insert(given)
    given["list"].append(2)
    first = await things.get("x")
    first["sub"]["a"].append(2)
    second = await things.find_one({"_id": "x"})
    assert second["list"] == [1]
    assert second["sub"] == {"a": [1]}


async def test_update_operand_is_not_shared_with_the_store(things: Repository):
    await things.insert_many([{"_id": "a"}, {"_id": "b"}])
    operand = {"deep": [1]}
    await things.update({}, {"$set": {"v": operand}}, many=True)
    operand["deep"].append(2)
    await things.update("a", {"$push": {"v.deep": 3}})
    assert (await things.get("a"))["v"] == {"deep": [1, 3]}
    assert (await things.get("b"))["v"] == {"deep": [1]}


async def test_values_come_back_as_bson_keeps_them(things: Repository):
    class Kind(enum.StrEnum):
        PANEL = "panel"

    at = dt.datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    await things.insert(
        {"_id": "v", "at": at, "kind": Kind.PANEL, "pair": (1, 2), "raw": b"\x00\xff", "big": 2**62}
    )
    found = await things.get("v")
    assert found["at"] == dt.datetime(2026, 11, 23, 10, 0, 0, 123000, tzinfo=dt.UTC)
    assert found["at"].tzinfo is not None
    assert (found["kind"], found["pair"], found["raw"], found["big"]) == ("panel", [1, 2], b"\x00\xff", 2**62)
    assert await things.count({"at": {"$lt": dt.datetime(2026, 11, 24, tzinfo=dt.UTC)}}) == 1


async def test_field_names_with_dollar_and_dot_inside_are_kept(things: Repository):
    await things.insert({"_id": "p", "params": {"$where": 1, "a.b": 2}})
    assert (await things.get("p"))["params"] == {"$where": 1, "a.b": 2}


@pytest.mark.parametrize(
    "bad", [{"n": 2**70}, {"s": "\ud800"}, {"a\0b": 1}, {"v": {1, 2}}], ids=["int", "surrogate", "nul", "set"]
)
async def test_value_that_cannot_be_stored_is_invalid_input(things: Repository, bad):
    with pytest.raises(InvalidInputError, match="cannot be stored"):
        await things.insert({"_id": "bad", **bad})
    await things.insert({"_id": "good"})
    with pytest.raises(InvalidInputError, match="cannot be stored"):
        await things.update("good", {"$set": {"v": bad}})
    assert await things.get("bad") is None


async def test_document_over_16_mb_is_too_large(things: Repository):
    await things.insert({"_id": "big", "a": "x" * 9_000_000})
    with pytest.raises(PayloadTooLargeError):
        await things.update("big", {"$set": {"b": "x" * 9_000_000}})
    with pytest.raises(PayloadTooLargeError):
        await things.insert({"_id": "huge", "a": "x" * 17_000_000})
    assert "b" not in await things.get("big")


async def test_get_of_nothing_is_none(things: Repository):
    assert await things.get("nope") is None
    assert await things.find_one({"n": 1}) is None
    assert await things.find({"n": 1}) == []
    assert await things.count({}) == 0


async def test_insert_many_fills_in_and_stops_at_the_first_duplicate(things: Repository):
    await things.insert_many([])
    with pytest.raises(ConflictError) as caught:
        await things.insert_many([{"_id": "1"}, {"_id": "2"}, {"_id": "1"}, {"_id": "3"}])
    assert caught.value.extra["key"] == ["_id"]
    found = await things.find({}, sort=[("_id", 1)])
    assert [document["_id"] for document in found] == ["1", "2"]
    assert all(document["created_at"] for document in found)


async def test_sort_orders_by_type_then_value_and_several_keys(things: Repository):
    values = [3, "b", None, 1.5, True, ["z", 2], {"a": 1}, "a", ...]
    await things.insert_many(
        [{"_id": str(i)} if v is ... else {"_id": str(i), "v": v} for i, v in enumerate(values)]
    )
    ascending = [d["_id"] for d in await things.find({}, sort=[("v", 1), ("_id", 1)])]
    assert ascending == ["2", "8", "3", "5", "0", "7", "1", "6", "4"]
    descending = [d["_id"] for d in await things.find({}, sort=[("v", -1), ("_id", -1)])]
    assert descending == ["4", "6", "5", "1", "7", "0", "3", "8", "2"]
    assert (await things.find_one({}, sort=[("v", -1)]))["_id"] == "4"
    assert [d["_id"] for d in await things.find({}, sort=[("v", 1), ("_id", 1)], limit=2)] == ["2", "8"]


async def test_projection_returns_named_fields_and_id(things: Repository):
    await things.insert({"_id": "p", "a": 1, "b": {"c": 2, "d": 3}, "l": [{"x": 1, "y": 2}, 5, {"y": 3}]})
    assert await things.find({}, fields=["a"]) == [{"_id": "p", "a": 1}]
    assert await things.find({}, fields=["b.c", "nope"]) == [{"_id": "p", "b": {"c": 2}}]
    assert await things.find({}, fields=["l.x"]) == [{"_id": "p", "l": [{"x": 1}, {}]}]


async def test_update_sets_updated_at_unless_the_change_does(things: Repository):
    await things.insert({"_id": "u", "updated_at": 1})
    await things.update("u", {"$set": {"n": 1}})
    assert abs((await things.get("u"))["updated_at"] - now_ms()) < 5_000
    await things.update("u", {"$set": {"updated_at": 7}})
    assert (await things.get("u"))["updated_at"] == 7


async def test_update_counts_matches_one_or_many(things: Repository):
    await things.insert_many([{"_id": i, "g": 1} for i in "abc"])
    assert await things.update({"g": 1}, {"$set": {"n": 1}}) == 1
    assert await things.update({"g": 1}, {"$set": {"n": 2}}, many=True) == 3
    assert await things.update({"g": 2}, {"$set": {"n": 2}}) == 0
    assert await things.update("nope", {"$set": {"n": 2}}) == 0
    assert await things.count({"n": 2}) == 3


async def test_upsert_inserts_with_defaults_once(things: Repository):
    where = {"email": "a@b.c", "$and": [{"kind": "x"}], "n": {"$gt": 5}}
    assert await things.update(where, {"$inc": {"hits": 1}, "$setOnInsert": {"n": 6}}, upsert=True) == 0
    assert await things.update(where, {"$inc": {"hits": 1}, "$setOnInsert": {"n": 7}}, upsert=True) == 1
    [found] = await things.find({})
    assert len(found.pop("_id")) == 26
    assert found.pop("created_at") <= found.pop("updated_at")
    assert found == {"email": "a@b.c", "kind": "x", "n": 6, "hits": 2}


async def test_upsert_by_id_takes_that_id(things: Repository):
    await things.update("mine", {"$set": {"sub.n": 1}}, upsert=True)
    assert (await things.get("mine"))["sub"] == {"n": 1}
    await things.update({"_id": {"$gt": "other"}}, {"$setOnInsert": {"_id": "given"}}, upsert=True)
    assert await things.get("given") is not None


async def test_upsert_that_misses_its_condition_on_a_present_id_conflicts(things: Repository):
    await things.insert({"_id": "job", "state": "done"})
    with pytest.raises(ConflictError) as caught:
        await things.update({"_id": "job", "state": "queued"}, {"$set": {"n": 1}}, upsert=True)
    assert caught.value.extra["key"] == ["_id"]


async def test_find_and_update_returns_after_or_before(things: Repository):
    await things.insert({"_id": "f", "n": 1})
    assert (await things.find_and_update("f", {"$inc": {"n": 1}}))["n"] == 2
    assert (await things.find_and_update({"n": 2}, {"$inc": {"n": 1}}, before=True))["n"] == 2
    assert await things.find_and_update({"n": 99}, {"$inc": {"n": 1}}) is None
    assert (await things.find_and_update("g", {"$inc": {"n": 1}}, upsert=True))["n"] == 1
    assert await things.find_and_update("h", {"$inc": {"n": 1}}, upsert=True, before=True) is None
    assert (await things.get("h"))["n"] == 1


async def test_claim_by_id_and_state_has_one_winner(things: Repository):
    await things.insert({"_id": "job", "state": "queued"})
    claims = (
        things.find_and_update({"_id": "job", "state": "queued"}, {"$set": {"state": "claimed", "by": n}})
        for n in range(12)
    )
    won = [document for document in await asyncio.gather(*claims) if document]
    assert len(won) == 1
    assert (await things.get("job"))["by"] == won[0]["by"]


async def test_concurrent_increments_are_all_counted(things: Repository):
    await things.insert({"_id": "n", "n": 0})
    seen = await asyncio.gather(*(things.find_and_update("n", {"$inc": {"n": 1}}) for _ in range(20)))
    assert sorted(document["n"] for document in seen) == list(range(1, 21))


async def test_delete_one_or_many(things: Repository):
    await things.insert_many([{"_id": i, "g": 1} for i in "abcd"])
    assert await things.delete("a") == 1
    assert await things.delete("a") == 0
    assert await things.delete({"g": 1}) == 1
    assert await things.delete({"g": 1}, many=True) == 2
    assert await things.count({}) == 0


async def test_in_of_more_than_100_values_is_refused(things: Repository):
    assert await things.find({"_id": {"$in": [str(i) for i in range(100)]}}) == []
    for where in ({"n": {"$in": list(range(101))}}, {"$or": [{"n": {"$nin": list(range(101))}}]}):
        with pytest.raises(ValueError, match="at most 100"):
            await things.find(where)


@pytest.mark.parametrize("where", [{"n": {"$almost": 1}}, {"$what": [1]}], ids=str)
async def test_unknown_operator_is_a_studio_error(things: Repository, where):
    await things.insert({"n": 1})
    with pytest.raises(StudioError):
        await things.find(where)


# ---------------------------------------------------------------- unique indexes


async def test_unique_index_refuses_and_names_its_fields(unique: Repository):
    await unique.insert({"_id": "1", "email": "a@b.c", "story_id": "1"})
    with pytest.raises(ConflictError) as caught:
        await unique.insert({"_id": "2", "email": "a@b.c", "story_id": "2"})
    assert caught.value.extra["key"] == ["email"]
    assert await unique.get("2") is None


async def test_unique_index_holds_for_updates_and_upserts(unique: Repository):
    await unique.insert_many([{"_id": i, "email": i, "story_id": i} for i in "12"])
    changes = (
        unique.update("2", {"$set": {"email": "1"}}),
        unique.find_and_update("2", {"$set": {"email": "1"}}),
        unique.update({"story_id": "9"}, {"$set": {"email": "1"}}, upsert=True),
    )
    for change in changes:
        with pytest.raises(ConflictError) as caught:
            await change
        assert caught.value.extra["key"] == ["email"]
    assert await unique.update("2", {"$set": {"email": "2", "n": 1}}) == 1
    assert await unique.count({}) == 2


async def test_unique_value_is_free_again_after_delete_or_change(unique: Repository):
    await unique.insert_many([{"_id": i, "email": i, "story_id": i} for i in "12"])
    await unique.delete("1")
    await unique.update("2", {"$set": {"email": "1"}})
    await unique.insert({"_id": "3", "email": "2", "story_id": "3"})
    assert await unique.count({}) == 2


async def test_partial_unique_index_ignores_documents_outside(unique: Repository):
    await unique.insert_many([{"_id": str(i), "project_id": "p", "story_id": str(i)} for i in range(3)])
    await unique.update("0", {"$set": {"slot": "panel"}})
    with pytest.raises(ConflictError) as caught:
        await unique.update("1", {"$set": {"slot": "panel"}})
    assert caught.value.extra["key"] == ["project_id", "slot"]
    await unique.update("0", {"$unset": {"slot": ""}})
    assert await unique.update("1", {"$set": {"slot": "panel"}}) == 1


async def test_case_insensitive_unique_index_folds_case_and_keeps_accents(unique: Repository):
    await unique.insert({"story_id": "s", "name": "Zoë"})
    with pytest.raises(ConflictError) as caught:
        await unique.insert({"story_id": "s", "name": "ZOË"})
    assert caught.value.extra["key"] == ["story_id", "name"]
    await unique.insert({"story_id": "s", "name": "Zoe"})
    await unique.insert({"story_id": "t", "name": "zoë"})
    assert await unique.count({"name": "zoë"}) == 1


async def test_unique_index_counts_a_missing_field_as_null(unique: Repository):
    await unique.insert({"story_id": "s"})
    with pytest.raises(ConflictError):
        await unique.insert({"story_id": "s", "name": None})


async def test_unique_index_over_an_array_holds_for_each_element(backend: Database):
    strict = backend["strict"]
    await strict.delete({}, many=True)
    await strict.insert({"_id": "1", "tags": ["a", "b", "a"]})
    with pytest.raises(ConflictError):
        await strict.insert({"_id": "2", "tags": ["c", "b"]})
    await strict.insert({"_id": "3", "tags": ["c"]})


async def test_parallel_inserts_of_one_key_have_one_winner(unique: Repository):
    results = await asyncio.gather(
        *(unique.insert({"email": "x", "story_id": str(i)}) for i in range(10)), return_exceptions=True
    )
    assert sum(isinstance(result, dict) for result in results) == 1
    assert all(isinstance(result, (dict, ConflictError)) for result in results)


# ---------------------------------------------------------------- pages


@pytest.mark.parametrize("newest_first", [False, True])
async def test_pages_cover_everything_once_and_in_order(things: Repository, newest_first):
    ids = [f"{i:03}" for i in range(7)]
    await things.insert_many([{"_id": i, "g": int(i) % 2} for i in ids])
    seen, cursor = [], None
    for _ in range(5):
        page = await things.page({}, cursor=cursor, limit=3, newest_first=newest_first)
        seen += [document["_id"] for document in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == (ids[::-1] if newest_first else ids)


async def test_page_with_fields_brings_only_those(things: Repository):
    for name in "abc":
        await things.insert({"_id": name, "n": 1, "body": "long"})
    page = await things.page({}, limit=2, fields=["n"])
    assert page.items == [{"_id": "a", "n": 1}, {"_id": "b", "n": 1}]
    assert (await things.page({}, limit=2, fields=["n"], cursor=page.next_cursor)).items == [
        {"_id": "c", "n": 1}
    ]


async def test_page_that_ends_exactly_has_no_cursor(things: Repository):
    await things.insert_many([{"_id": i} for i in "abc"])
    assert (await things.page({}, limit=3)).next_cursor is None
    assert (await things.page({"_id": {"$gt": "z"}})).items == []


async def test_page_respects_filter_and_its_own_id_clause(things: Repository):
    await things.insert_many([{"_id": f"{i:03}", "g": i % 2} for i in range(10)])
    where = {"g": 1, "_id": {"$lt": "008"}}
    first = await things.page(where, limit=2)
    second = await things.page(where, limit=2, cursor=first.next_cursor)
    assert [d["_id"] for d in first.items + second.items] == ["001", "003", "005", "007"]
    assert second.next_cursor is None


async def test_cursor_survives_the_deletion_of_its_document(things: Repository):
    await things.insert_many([{"_id": i} for i in "abcd"])
    page = await things.page({}, limit=2)
    await things.delete("b")
    assert [d["_id"] for d in (await things.page({}, limit=2, cursor=page.next_cursor)).items] == ["c", "d"]


@pytest.mark.parametrize(
    "cursor", ["", "x", "%%%", "4pyT", "LQ", "K2E=", "eyJhIjoxfQ", "é", "K2\n"], ids=repr
)
async def test_foreign_cursor_is_invalid_input(things: Repository, cursor):
    with pytest.raises(InvalidInputError, match="cursor"):
        await things.page({}, cursor=cursor)


async def test_cursor_of_the_other_direction_is_invalid_input(things: Repository):
    await things.insert_many([{"_id": i} for i in "abc"])
    page = await things.page({}, limit=1)
    with pytest.raises(InvalidInputError, match="direction"):
        await things.page({}, cursor=page.next_cursor, newest_first=True)


@pytest.mark.parametrize("limit", [0, -1, 1001])
async def test_page_limit_outside_its_range_is_invalid_input(things: Repository, limit):
    with pytest.raises(InvalidInputError, match="limit"):
        await things.page({}, limit=limit)


# ---------------------------------------------------------------- the database


READS = {
    "get": lambda older: older.get("a"),
    "find_one": lambda older: older.find_one({"name": "A"}),
    "find": lambda older: older.find({"_id": "a"}),
    "page": lambda older: older.page({"_id": "a"}),
    "find_and_update": lambda older: older.find_and_update("a", {"$set": {"seen": 1}}),
    "find_and_update_before": lambda older: older.find_and_update("a", {"$set": {"seen": 1}}, before=True),
    "upsert": lambda older: older.find_and_update("c", {"$set": {"owner_id": "ann"}}, upsert=True),
}


@pytest.mark.parametrize("read", READS)
async def test_every_read_fills_in_what_an_older_document_lacks(older: Repository, read):
    for _ in range(2):  # what the first reader does with its copy is not the second one's
        found = await READS[read](older)
        document = found if isinstance(found, dict) else getattr(found, "items", found)[0]
        assert type(document) is dict
        assert (document["tags"], document["looks"], document["count"]) == ([], {"hair": []}, 0)
        document["tags"].append("x")
        document["looks"]["hair"].append("x")
    assert await older.count({"tags": {"$exists": True}}) == 0


async def test_stored_field_is_never_replaced_by_its_default(older: Repository):
    made = await older.insert({"owner_id": "ann", "tags": None, "looks": {}, "count": 5})
    assert await older.get(made["_id"]) == made


@pytest.mark.parametrize("read", ["find", "page"])
async def test_projection_fills_in_only_what_was_asked_for(older: Repository, read):
    async def asked(*fields):
        found = await getattr(older, read)({"_id": "b"}, fields=fields)
        return getattr(found, "items", found)[0]

    assert await asked("name") == {"_id": "b", "name": "B"}
    assert await asked("name", "tags") == {"_id": "b", "name": "B", "tags": []}
    with pytest.raises(StudioError, match="owner_id"):
        (await asked("owner_id"))["owner_id"]


async def test_field_without_a_meaning_is_reported_by_who_asks_for_it(older: Repository):
    found = await older.get("b")
    assert (found["name"], found.get("owner_id"), "owner_id" in found) == ("B", None, False)
    for document in (found, found | {"current": True}):
        with pytest.raises(StudioError) as caught:
            document["owner_id"]
        error = caught.value
        assert (error.status, error.code) == (409, "outdated_document")
        assert error.extra == {"collection": "older", "id": "b", "field": "owner_id"}
    with pytest.raises(KeyError) as ordinary:
        found["owner_ID"]
    assert not isinstance(ordinary.value, StudioError)


async def test_reported_document_can_be_stored_again(older: Repository):
    found = await older.get("b")
    await older.delete("b")
    assert (await older.insert(found))["name"] == "B"
    assert await older.count({"owner_id": {"$exists": True}}) == 1


async def test_undeclared_collection_says_how_to_declare_it(backend: Database):
    with pytest.raises(KeyError, match="register_collections"):
        backend["nope"]


async def test_ping_answers(backend: Database):
    await backend.ping()
