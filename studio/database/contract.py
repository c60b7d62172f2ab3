"""What plugins declare of their data, and the operations that every driver and the in-memory twin offer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from studio.model import Doc
    from studio.web.route import Page

Sort = "Sequence[tuple[str, int]]"


@dataclass(frozen=True, slots=True)
class Index:
    """One index. `keys` are (field, 1 or -1); `ttl_s` expires documents that long after a date field."""

    keys: tuple[tuple[str, int], ...]
    unique: bool = False
    partial: Mapping[str, Any] | None = None
    ttl_s: int | None = None
    case_insensitive: bool = False
    """Collation strength 2."""


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection that a plugin owns, in the `studio` or the `stories` database."""

    name: str
    database: Literal["studio", "stories"] = "studio"
    indexes: tuple[Index, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What a stored document that lacks a top-level field is read with, always a copy: declare a field here when you
    add it. `...` says that nothing can stand for it: a document without it is read, but whoever asks it for that
    field gets a 409 `outdated_document`, which names collection, id and field, and is logged.

    Filters, sorting, indexes and changes see what is stored; where those need the field, write a `Migration`."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of a plugin's data, applied once and in order of `version` (recorded in `plugin_state`)."""

    version: int
    title: str
    apply: Callable[[Database], Awaitable[None]] = field(repr=False)


class Repository(Protocol):
    """One collection. Every call has a deadline; errors come as StudioErrors.

    Filters and updates are MongoDB's, restricted to what every backend does alike: equality on dotted paths, $in (at
    most 100 values), $nin, $ne, $gt, $gte, $lt, $lte, $exists, $and, $or, $elemMatch; updates $set, $unset, $inc,
    $push, $addToSet, $pull, $setOnInsert. Raises ConflictError on a duplicate key (`key` names the fields) and
    DatabaseUnavailableError when the server does not answer in time.
    """

    async def get(self, document_id: str) -> Doc | None:
        """Return the document with this `_id`."""
        ...

    async def find_one(self, where: Mapping[str, Any], *, sort: Sequence[tuple[str, int]] = ()) -> Doc | None:
        """Return the first match."""
        ...

    async def find(
        self,
        where: Mapping[str, Any],
        *,
        sort: Sequence[tuple[str, int]] = (),
        limit: int = 0,
        fields: Sequence[str] = (),
    ) -> list[Doc]:
        """Return all matches (at most `limit` when it is not 0), with only `fields` (and `_id`) if named."""
        ...

    async def page(
        self,
        where: Mapping[str, Any],
        *,
        cursor: str | None = None,
        limit: int = 50,
        newest_first: bool = False,
        fields: Sequence[str] = (),
    ) -> Page:
        """Return one page in `_id` order, with only `fields` (and `_id`) if named.

        Raises InvalidInputError on a cursor that is none of ours.
        """
        ...

    async def count(self, where: Mapping[str, Any]) -> int:
        """Count the matches."""
        ...

    async def insert(self, document: Doc) -> Doc:
        """Insert and return the document; `_id`, `created_at` and `updated_at` (UTC ms) are set if missing."""
        ...

    async def insert_many(self, documents: Sequence[Doc]) -> None:
        """Insert all in one call, with the same defaults; the first duplicate raises ConflictError."""
        ...

    async def update(
        self,
        where: Mapping[str, Any] | str,
        change: Mapping[str, Any],
        *,
        upsert: bool = False,
        many: bool = False,
    ) -> int:
        """Update one (or all with `many`) and return how many matched; `updated_at` is set by itself."""
        ...

    async def find_and_update(
        self,
        where: Mapping[str, Any] | str,
        change: Mapping[str, Any],
        *,
        upsert: bool = False,
        before: bool = False,
    ) -> Doc | None:
        """Update one match atomically and return it as it is after (or was `before`) the change."""
        ...

    async def delete(self, where: Mapping[str, Any] | str, *, many: bool = False) -> int:
        """Delete one (or all with `many`) and return how many went."""
        ...


class Database(Protocol):
    """Both databases: `db["stories"]` is the repository of a declared collection (KeyError names the fix)."""

    def __getitem__(self, name: str) -> Repository:
        """Return the repository of a declared collection."""
        ...

    async def ping(self) -> None:
        """Return when the server answers; raises DatabaseUnavailableError."""
        ...
