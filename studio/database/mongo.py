"""MongoDB, over PyMongo's asynchronous client or, with the extra `motor`, over Motor."""
# ruff: noqa: D102 - what a repository's methods do stands in its protocol, studio.Repository

from __future__ import annotations

import asyncio
import inspect
from datetime import UTC
from typing import TYPE_CHECKING, Any

import pymongo
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from pymongo import errors as driver

from studio import errors
from studio.breaker import Breaker
from studio.database import documents
from studio.database.schema import DeclaredDatabase
from studio.model import Doc, now_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from pymongo.asynchronous.collection import AsyncCollection

    from studio.database.contract import Collection, Index
    from studio.database.settings import DatabaseSettings
    from studio.web.route import Page

    Where = Mapping[str, Any]
    Sort = Sequence[tuple[str, int]]
    Fields = Sequence[str]

INDEX_S = 120.0
"""Building indexes may take longer than a call."""
CODEC: CodecOptions[Any] = CodecOptions(tz_aware=True, tzinfo=UTC)
AWAY = "The database does not answer; try again in a second."
LARGE = "The document is larger than 16 MB."
UNFIT = "A value cannot be stored: numbers have at most 64 bits, text no lone surrogates, names no NUL."
SECRET = "The database refuses our credentials: check STUDIO_DATABASE__URL."  # noqa: S105 - a message
_ERRORS: tuple[tuple[tuple[type[Exception], ...], set[int], type[errors.StudioError], str], ...] = (
    ((), {11000, 11001, 12582}, errors.ConflictError, "Another document has the same {key}."),
    ((driver.DocumentTooLarge,), {10334, 17419, 17420}, errors.PayloadTooLargeError, LARGE),
    ((), {121}, errors.InvalidInputError, "The document breaks a rule of its collection."),
    ((BSONError, OverflowError, UnicodeEncodeError), set(), errors.InvalidInputError, UNFIT),
    ((), {13, 18}, errors.DatabaseUnavailableError, SECRET),
    ((driver.ConnectionFailure,), {24, 50, 64, 91, 112, 262, 11600}, errors.DatabaseUnavailableError, AWAY),
)
"""Driver error or server code → ours. Source: MongoDB's error_codes.yml."""


def translated(error: Exception) -> errors.StudioError:
    """Return our error for one of the driver; what the table does not know is an internal error."""
    details: Mapping[str, Any] = getattr(error, "details", None) or {}
    details = next(iter(details.get("writeErrors", ())), details)
    code = details.get("code", getattr(error, "code", None))
    late = isinstance(error, driver.PyMongoError) and error.timeout
    found = (row[2:] for row in _ERRORS if code in row[1] or isinstance(error, row[0]))
    kind, message = next(found, (errors.DatabaseUnavailableError, AWAY) if late else (errors.StudioError, ""))
    if kind is errors.ConflictError:
        key = list(details.get("keyPattern", ()))
        return kind(message.format(key=" and ".join(key) or "key"), key=key)
    return kind(message, retry_after=1 if kind is errors.DatabaseUnavailableError else None)


class _Guard:
    """Refuses at once while the server is away, and translates the driver's errors."""

    def __init__(self) -> None:
        self.breaker = Breaker(pause_s=1.0)

    def __enter__(self) -> None:
        if not self.breaker.allow():
            raise errors.DatabaseUnavailableError(AWAY, retry_after=1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, driver.ConnectionFailure):
            self.breaker.failure()
        elif error is None or isinstance(error, driver.PyMongoError):
            self.breaker.success()
        if isinstance(error, (driver.PyMongoError, BSONError, OverflowError, UnicodeEncodeError)):
            raise translated(error) from error


class MongoRepository:
    """One collection on a server; see `Repository`."""

    def __init__(self, collection: AsyncCollection[Doc], guard: _Guard, declared: Collection) -> None:
        self._collection = collection
        self._guard = guard
        self._declared = declared

    async def get(self, document_id: str) -> Doc | None:
        return await self.find_one({"_id": document_id})

    async def find_one(self, where: Where, *, sort: Sort = ()) -> Doc | None:
        with self._guard:
            found = await self._collection.find_one(documents.selector(where), sort=list(sort) or None)
        return found and documents.filled(found, self._declared)

    async def find(self, where: Where, *, sort: Sort = (), limit: int = 0, fields: Fields = ()) -> list[Doc]:
        chosen, shown = documents.selector(where), dict.fromkeys(fields, 1) or None
        with self._guard:
            found = await self._collection.find(chosen, shown, sort=list(sort) or None, limit=limit).to_list()
        known = self._declared
        return [documents.filled(one, known, fields) for one in found] if known.defaults else found

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
        with self._guard:
            return await self._collection.count_documents(documents.selector(where))

    async def insert(self, document: Doc) -> Doc:
        stored = documents.stamped(document, now_ms())
        with self._guard:
            await self._collection.insert_one(stored)
        return stored

    async def insert_many(self, new: Sequence[Doc]) -> None:
        if new:
            now = now_ms()
            with self._guard:
                await self._collection.insert_many([documents.stamped(document, now) for document in new])

    async def update(
        self, where: Where | str, change: Where, *, upsert: bool = False, many: bool = False
    ) -> int:
        chosen = documents.selector(where)
        change = documents.completed(change, chosen, upsert=upsert, now=now_ms())
        run = self._collection.update_many if many else self._collection.update_one
        with self._guard:
            return (await run(chosen, change, upsert=upsert)).matched_count

    async def find_and_update(
        self, where: Where | str, change: Where, *, upsert: bool = False, before: bool = False
    ) -> Doc | None:
        chosen = documents.selector(where)
        change = documents.completed(change, chosen, upsert=upsert, now=now_ms())
        run = self._collection.find_one_and_update
        with self._guard:
            found = await run(chosen, change, upsert=upsert, return_document=not before)
        return found and documents.filled(found, self._declared)

    async def delete(self, where: Where | str, *, many: bool = False) -> int:
        run = self._collection.delete_many if many else self._collection.delete_one
        with self._guard:
            return (await run(documents.selector(where))).deleted_count


class MongoDatabase(DeclaredDatabase):
    """Both databases, on one client unless `stories_url` names another server."""

    def __init__(self, url: str, settings: DatabaseSettings) -> None:
        stories_url = settings.stories_url.get_secret_value() if settings.stories_url else url
        self._clients = {name: _client(name, settings) for name in (url, stories_url)}
        self._guards = {name: _Guard() for name in self._clients}
        studio, stories = (url, settings.studio_name), (stories_url, settings.stories_name)
        self._places = {"studio": studio, "stories": stories}
        super().__init__()

    def _collection(self, collection: Collection) -> AsyncCollection[Doc]:
        url, name = self._places[collection.database]
        found: AsyncCollection[Doc] = self._clients[url][name][collection.name].with_options(CODEC)
        return found

    def _open(self, collection: Collection) -> MongoRepository:
        guard = self._guards[self._places[collection.database][0]]
        return MongoRepository(self._collection(collection), guard, collection)

    async def ensure(self, owner: str | None = None) -> None:
        """Create missing indexes and rebuild those whose options changed; raises PluginError on bad data."""
        chosen = [declared for declared in self._declared.values() if owner in (None, declared[0])]
        with pymongo.timeout(INDEX_S):
            await asyncio.gather(*(self._ensure(*declared) for declared in chosen))

    async def _ensure(self, owner: str, collection: Collection) -> None:
        target = self._collection(collection)
        models = {model.document["name"]: model for model in map(_model, collection.indexes)}
        try:
            with _Guard():
                present = await target.index_information() if models else {}
                for name in models.keys() & present.keys():
                    if _options(models[name].document) == _options(present[name]):
                        del models[name]
                    else:
                        await target.drop_index(name)
                if models:
                    await target.create_indexes(list(models.values()))
        except errors.DatabaseUnavailableError:
            raise
        except errors.StudioError as error:
            what = f"an index of {collection.name!r} cannot be made"
            if isinstance(error, errors.ConflictError):
                what = f"documents of {collection.name!r} break a new unique index, remove the duplicates"
            raise errors.PluginError(f"{owner}: {what}: {error.__cause__}") from error

    async def ping(self) -> None:
        """Ask the server itself, whatever the breaker says; raises DatabaseUnavailableError."""
        for client in self._clients.values():
            with _Guard():
                await client.admin.command("ping")

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            if inspect.isawaitable(closing := client.close()):
                await closing


def _client(url: str, settings: DatabaseSettings) -> Any:
    client: Any = pymongo.AsyncMongoClient
    try:
        if settings.driver == "motor":
            from motor.motor_asyncio import AsyncIOMotorClient as client  # noqa: N813, PLC0415 - same API, an extra
        limits = {"timeoutMS": settings.timeout_ms, "connectTimeoutMS": settings.timeout_ms}
        return client(url, w="majority", journal=True, appname="studio", **limits)
    except ImportError as error:
        raise errors.ConfigError(["database.driver motor: pip install 'studio-backend[motor]'"]) from error
    except (driver.PyMongoError, ValueError) as error:
        raise errors.ConfigError([f"database.url cannot be read: {error}"]) from error


def _model(index: Index) -> pymongo.IndexModel:
    name = "_".join(f"{field}_{direction}" for field, direction in index.keys)
    options: dict[str, Any] = {"name": name + "_ci" * index.case_insensitive, "unique": index.unique}
    if index.partial is not None:
        options["partialFilterExpression"] = dict(index.partial)
    if index.ttl_s is not None:
        options["expireAfterSeconds"] = index.ttl_s
    if index.case_insensitive:
        options["collation"] = {"locale": "en", "strength": 2}
    return pymongo.IndexModel(list(index.keys), **options)


def _options(index: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what makes an index what it is, beside its name."""
    strength, partial = index.get("collation", {}).get("strength"), index.get("partialFilterExpression")
    return bool(index.get("unique")), partial, index.get("expireAfterSeconds"), strength
