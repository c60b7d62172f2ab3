# ruff: noqa: D102 - what the repository's methods do stands in its protocol, studio.Repository
"""Both databases in memory: the same results and errors as a server, without one.

Documents are kept as BSON: what cannot be stored fails here too, and nothing is shared with the caller.
"""

from __future__ import annotations

import itertools
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import bson
from bson.errors import BSONError

from studio.database import documents
from studio.database.mongo import CODEC, LARGE, translated
from studio.database.schema import DeclaredDatabase
from studio.errors import ConflictError, PayloadTooLargeError, StudioError
from studio.model import Doc, now_ms
from studio.testing.matching import Key, key_of, matches, projected, sort_key, values_at
from studio.testing.updating import applied, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from studio.database.contract import Collection, Index
    from studio.web.route import Page

    Where = Mapping[str, Any]
    Sort = Sequence[tuple[str, int]]
    Fields = Sequence[str]

MAX_BYTES = 16 * 1024 * 1024


class _UniqueIndex:
    def __init__(self, index: Index) -> None:
        self._index = index
        self._owners: dict[tuple[Key, ...], str] = {}
        self._keys: dict[str, set[tuple[Key, ...]]] = {}

    def keys_of(self, document: Doc) -> set[tuple[Key, ...]]:
        if self._index.partial is not None and not matches(document, self._index.partial):
            return set()
        return set(itertools.product(*(self._entries(document, path) for path, _ in self._index.keys)))

    def _entries(self, document: Doc, path: str) -> set[Key]:
        entries: set[Key] = set()
        for value in values_at(document, path) or [None]:
            for part in (value or [None]) if isinstance(value, list) else [value]:
                entries.add(key_of(_folded(part) if self._index.case_insensitive else part))
        return entries

    def check(self, document: Doc) -> None:
        for key in self.keys_of(document):
            if self._owners.get(key, document["_id"]) != document["_id"]:
                raise _conflict([path for path, _ in self._index.keys])

    def put(self, document_id: str, document: Doc | None) -> None:
        for key in self._keys.pop(document_id, ()):
            del self._owners[key]
        if document is not None:
            self._keys[document_id] = self.keys_of(document)
            self._owners.update(dict.fromkeys(self._keys[document_id], document_id))


def _folded(value: Any) -> Any:
    return unicodedata.normalize("NFC", value).casefold() if isinstance(value, str) else value


def _conflict(fields: list[str]) -> ConflictError:
    return ConflictError(f"Another document has the same {' and '.join(fields)}.", key=fields)


class InMemoryRepository:
    """One collection; `clock` (UTC ms) stamps documents and expires those under a TTL index at once."""

    def __init__(self, collection: Collection, clock: Callable[[], int] = now_ms) -> None:
        self._clock = clock
        self._declared = collection
        self._raw: dict[str, bytes] = {}
        self._parsed: dict[str, Doc] = {}
        self._unique = [_UniqueIndex(index) for index in collection.indexes if index.unique]
        self._ttl = [(i.keys[0][0], i.ttl_s) for i in collection.indexes if i.ttl_s is not None]

    async def get(self, document_id: str) -> Doc | None:
        self._expire()
        raw = self._raw.get(document_id)
        return None if raw is None else self._decoded(raw)

    async def find_one(self, where: Where, *, sort: Sort = ()) -> Doc | None:
        return next(iter(await self.find(where, sort=sort, limit=1)), None)

    async def find(self, where: Where, *, sort: Sort = (), limit: int = 0, fields: Fields = ()) -> list[Doc]:
        found = self._matching(where)
        if sort:
            found = iter(_sorted(found, sort))
        chosen = itertools.islice(found, limit or None)
        copies = [bson.decode(self._raw[document["_id"]], CODEC) for document in chosen]
        shown = [projected(document, fields) for document in copies] if fields else copies
        return [documents.filled(document, self._declared, fields) for document in shown]

    async def page(
        self,
        where: Where,
        *,
        cursor: str | None = None,
        limit: int = 50,
        newest_first: bool = False,
        fields: Fields = (),
    ) -> Page:
        chosen = documents.page_selector(where, cursor, limit, newest_first=newest_first)
        order = [("_id", -1 if newest_first else 1)]
        found = await self.find(chosen, sort=order, limit=limit + 1, fields=fields)
        return documents.page_of(found, limit, newest_first=newest_first)

    async def count(self, where: Where) -> int:
        return sum(1 for _ in self._matching(where))

    async def insert(self, document: Doc) -> Doc:
        stored = documents.stamped(document, self._clock())
        self._expire()
        self._store(stored, new=True)
        return stored

    async def insert_many(self, new: Sequence[Doc]) -> None:
        for document in new:
            await self.insert(document)

    async def update(
        self, where: Where | str, change: Where, *, upsert: bool = False, many: bool = False
    ) -> int:
        return len(self._update(where, change, upsert=upsert, many=many)[0])

    async def find_and_update(
        self, where: Where | str, change: Where, *, upsert: bool = False, before: bool = False
    ) -> Doc | None:
        old, new = self._update(where, change, upsert=upsert, many=False)
        found = old if before else new
        return self._decoded(found[0]) if found else None

    async def delete(self, where: Where | str, *, many: bool = False) -> int:
        found = [document["_id"] for document in itertools.islice(self._matching(where), None if many else 1)]
        for document_id in found:
            self._remove(document_id)
        return len(found)

    def _decoded(self, raw: bytes) -> Doc:
        return documents.filled(bson.decode(raw, CODEC), self._declared)

    def _matching(self, where: Where | str) -> Iterator[Doc]:
        chosen = documents.selector(where)
        self._expire()
        wanted = chosen.get("_id")
        if isinstance(wanted, str):
            found = self._parsed.get(wanted)
            return iter([found] if found is not None and matches(found, chosen) else [])
        return (document for document in tuple(self._parsed.values()) if matches(document, chosen))

    def _update(
        self, where: Where | str, change: Where, *, upsert: bool, many: bool
    ) -> tuple[list[bytes], list[bytes]]:
        """Return the matches as they were, and every document that was written as it is now."""
        chosen = documents.selector(where)
        change = documents.completed(change, chosen, upsert=upsert, now=self._clock())
        old = [self._raw[d["_id"]] for d in itertools.islice(self._matching(chosen), None if many else 1)]
        if not old and upsert:
            return old, [self._upsert(chosen, change)]
        return old, [self._changed(bson.decode(raw, CODEC), change) for raw in old]

    def _changed(self, document: Doc, change: Where) -> bytes:
        document_id = document["_id"]
        _apply(document, change)
        if document.get("_id") != document_id:
            raise StudioError("The _id of a document cannot be changed.")
        return self._store(document)

    def _upsert(self, where: Where, change: Where) -> bytes:
        document: Doc = {}
        for path, value in documents.equalities(where).items():
            put(document, path, value)
        _apply(document, change, inserting=True)
        return self._store({"_id": document["_id"], **document}, new=True)

    def _store(self, document: Doc, *, new: bool = False) -> bytes:
        raw = _encoded(document)
        parsed = bson.decode(raw, CODEC)
        document_id = parsed["_id"]
        if new and document_id in self._raw:
            raise _conflict(["_id"])
        for index in self._unique:
            index.check(parsed)
        for index in self._unique:
            index.put(document_id, parsed)
        self._raw[document_id], self._parsed[document_id] = raw, parsed
        return raw

    def _remove(self, document_id: str) -> None:
        del self._raw[document_id], self._parsed[document_id]
        for index in self._unique:
            index.put(document_id, None)

    def _expire(self) -> None:
        for path, ttl_s in self._ttl:
            limit = datetime.fromtimestamp(self._clock() / 1000, UTC) - timedelta(seconds=ttl_s)
            for document in tuple(self._parsed.values()):
                if any(isinstance(at, datetime) and at <= limit for at in values_at(document, path)):
                    self._remove(document["_id"])


def _apply(document: Doc, change: Where, *, inserting: bool = False) -> None:
    """Apply a private copy: operands may not stay shared with the caller or between documents."""
    private: Doc = bson.decode(_encoded(dict(change)), CODEC)
    applied(document, private, inserting=inserting)


def _encoded(document: Doc) -> bytes:
    try:
        raw = bson.encode(document)
    except (BSONError, OverflowError, UnicodeEncodeError) as error:
        raise translated(error) from error
    if len(raw) > MAX_BYTES:
        raise PayloadTooLargeError(LARGE)
    return raw


def _sorted(found: Iterator[Doc], sort: Sequence[tuple[str, int]]) -> list[Doc]:
    ordered = list(found)
    for path, direction in reversed(sort):
        ordered.sort(key=lambda document: sort_key(document, path, direction), reverse=direction < 0)
    return ordered


class InMemoryDatabase(DeclaredDatabase):
    """Both databases in memory. Declare collections as on a server; `clock` moves time for stamps and TTL."""

    def __init__(self, clock: Callable[[], int] = now_ms) -> None:
        self._clock = clock
        super().__init__()

    def _open(self, collection: Collection) -> InMemoryRepository:
        return InMemoryRepository(collection, self._clock)

    async def ensure(self, owner: str | None = None) -> None:
        """Do nothing: indexes hold from the declaration on."""

    async def ping(self) -> None:
        """Do nothing: it is always there."""

    async def close(self) -> None:
        """Do nothing: nothing is open."""
