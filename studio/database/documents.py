"""What every backend does alike with documents, filters, changes and cursors."""

from __future__ import annotations

import base64
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from studio.errors import InvalidInputError, StudioError
from studio.model import Doc, new_id
from studio.telemetry import get_logger
from studio.web.route import Page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from studio.database.contract import Collection

log = get_logger("studio.database")
UPDATES = frozenset({"$set", "$unset", "$inc", "$push", "$addToSet", "$pull", "$setOnInsert"})
MAX_IN = 100
MAX_PAGE = 1000


def stamped(document: Doc, now: int) -> Doc:
    """Return a copy with `_id`, `created_at` and `updated_at` (UTC ms)."""
    return {"_id": new_id(), "created_at": now, "updated_at": now, **document}


def selector(where: Mapping[str, Any] | str) -> dict[str, Any]:
    """Return the filter; a string is an `_id`. Raises ValueError on an $in that is too long for a backend."""
    if isinstance(where, str):
        return {"_id": where}
    for path, value in where.items():
        if path in {"$and", "$or"}:
            for part in value:
                selector(part)
        elif isinstance(value, dict) and max(len(value.get(op, ())) for op in ("$in", "$nin")) > MAX_IN:
            raise ValueError(f"{path}: at most {MAX_IN} values in $in and $nin; ask in slices")
    return dict(where)


def equalities(where: Mapping[str, Any]) -> Doc:
    """Return what a filter fixes (path → value): an upsert starts from it."""
    found: Doc = {}
    for path, value in where.items():
        if path == "$and":
            for part in value:
                found |= equalities(part)
        elif not path.startswith("$") and not is_operators(value):
            found[path] = value
    return found


def is_operators(value: Any) -> bool:
    """Return whether a filter's value is `{"$gt": …}` rather than something to be equal to."""
    return isinstance(value, dict) and any(str(key).startswith("$") for key in value)


def completed(change: Mapping[str, Any], where: Mapping[str, Any], *, upsert: bool, now: int) -> Doc:
    """Return the change with `updated_at` and, for an upsert, `_id` and `created_at`.

    Raises ValueError on operators and positional paths that not every backend offers.
    """
    known = bool(change) and UPDATES.issuperset(change)
    touched = {path for fields in change.values() for path in fields} if known else {"$"}
    if any("$" in path for path in touched):
        raise ValueError(f"an update is made of {sorted(UPDATES)} on plain dotted paths, not {list(change)}")
    result: Doc = dict(change)
    if "updated_at" not in touched:
        result["$set"] = {**change.get("$set", {}), "updated_at": now}
    if upsert:
        taken = touched | equalities(where).keys()
        defaults = {"_id": new_id(), "created_at": now}
        fresh = {path: value for path, value in defaults.items() if path not in taken}
        result["$setOnInsert"] = {**fresh, **change.get("$setOnInsert", {})}
    return result


def filled(document: Doc, declared: Collection, fields: Sequence[str] = ()) -> Doc:
    """Return the document with the default of every declared field (of `fields`, if named) that it lacks."""
    if declared.defaults.keys() <= document.keys():
        return document
    asked = {name: value for name, value in declared.defaults.items() if not fields or name in fields}
    unknown = {name for name, value in asked.items() if value is ... and name not in document}
    document |= {name: deepcopy(asked[name]) for name in asked.keys() - document.keys() - unknown}
    return _Outdated(document, declared.name, unknown) if unknown else document


class _OutdatedError(StudioError, KeyError):
    """No ConflictError: nobody was faster. A KeyError, so that a public model still shows null."""

    status, code, title = 409, "outdated_document", "Outdated document"


class _Outdated(Doc):
    """A document that lacks what nothing can stand for; only who asks for that is refused."""

    def __init__(self, document: Doc, collection: str, unknown: set[str]) -> None:
        super().__init__(document)
        self._collection, self._unknown = collection, unknown

    def __or__(self, more: Doc) -> Doc:  # type: ignore[override]  # only what a service writes: `doc | {…}`
        return _Outdated({**self, **more}, self._collection, self._unknown)

    def __missing__(self, name: str) -> Any:
        if name not in self._unknown:
            raise KeyError(name)
        where = {"collection": self._collection, "id": self["_id"], "field": name}
        log.warning("outdated_document", **where)
        raise _OutdatedError(f"A stored document lacks the field {name!r}; ask who runs this.", **where)


def page_selector(where: Mapping[str, Any], cursor: str | None, limit: int, *, newest_first: bool) -> Doc:
    """Return the filter of the page after `cursor`; raises InvalidInputError on one that is none of ours."""
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInputError(f"limit must be between 1 and {MAX_PAGE}.")
    if cursor is None:
        return selector(where)
    bound = {"_id": {"$lt" if newest_first else "$gt": _last_id(cursor, newest_first)}}
    return {**selector(where), **bound} if "_id" not in where else {"$and": [selector(where), bound]}


def page_of(documents: Sequence[Doc], limit: int, *, newest_first: bool) -> Page:
    """Make a page of up to `limit + 1` documents: the one too many says that there is a next page."""
    items = list(documents[:limit])
    more = len(documents) > limit
    return Page(items, _cursor(items[-1]["_id"], newest_first) if more else None)


def _cursor(last_id: str, newest_first: bool) -> str:  # noqa: FBT001 - private, and passed on by position
    mark = "-" if newest_first else "+"
    return base64.urlsafe_b64encode(f"{mark}{last_id}".encode()).decode().rstrip("=")


def _last_id(cursor: str, newest_first: bool) -> str:  # noqa: FBT001 - private, and passed on by position
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        raw = ""
    if len(raw) < 2 or _cursor(raw[1:], newest_first) != cursor:  # noqa: PLR2004 - a mark and an id
        raise InvalidInputError("This cursor is not ours, or of the other direction; start without one.")
    return raw[1:]
