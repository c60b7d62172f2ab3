"""MongoDB's filters and updates on plain documents, as far as the repository contract promises them.

Values compare as BSON does: by type first (null, numbers, text, objects, arrays, bytes, booleans, dates).
`True` is not 1, and no comparison crosses types.
Source: MongoDB manual, "Comparison/Sort Order" and "Query an Array".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from studio.database.documents import is_operators
from studio.errors import StudioError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from studio.model import Doc

Key = tuple[Any, ...]
MISSING = object()
_RANKS: dict[type, int] = {int: 1, float: 1, str: 2, bytes: 5, bool: 8, datetime: 9}


def key_of(value: Any) -> Key:
    """Return a hashable key that is equal and ordered as BSON values are; missing sorts with null."""
    rank = _RANKS.get(type(value))
    if rank is not None:
        return rank, value
    if value is None or value is MISSING:
        return (0,)
    if isinstance(value, Mapping):
        return 3, tuple((name, key_of(part)) for name, part in value.items())
    if isinstance(value, (list, tuple)):
        return 4, tuple(map(key_of, value))
    for kind, order in _RANKS.items():
        if isinstance(value, kind):
            return order, value
    raise StudioError(f"{type(value).__name__} values are not stored.")


def values_at(document: Any, path: str) -> list[Any]:
    """Return what a dotted path reaches, through arrays; MISSING stands for an object without the field."""
    return list(_walk(document, path.split(".")))


def _walk(value: Any, parts: Sequence[str]) -> Iterator[Any]:
    if not parts:
        yield value
    elif isinstance(value, dict):
        if parts[0] in value:
            yield from _walk(value[parts[0]], parts[1:])
        else:
            yield MISSING
    elif isinstance(value, list):
        if parts[0].isdigit() and int(parts[0]) < len(value):
            yield from _walk(value[int(parts[0])], parts[1:])
        for element in value:
            if isinstance(element, dict):
                yield from _walk(element, parts)
    else:
        yield MISSING


def _candidates(document: Any, path: str) -> Iterator[Any]:
    for value in values_at(document, path):
        yield value
        if isinstance(value, list):
            yield from value


def matches(document: Any, where: Mapping[str, Any]) -> bool:
    """Return whether the document fits; raises StudioError on an operator outside the contract."""
    return all(_clause(document, path, wanted) for path, wanted in where.items())


def _clause(document: Any, path: str, wanted: Any) -> bool:
    if path == "$and":
        return all(matches(document, part) for part in wanted)
    if path == "$or":
        return any(matches(document, part) for part in wanted)
    if path.startswith("$"):
        raise _refused(path)
    if is_operators(wanted):
        return all(_operator(name)(document, path, operand) for name, operand in wanted.items())
    return _equals(document, path, wanted)


def _refused(operator: str) -> StudioError:
    return StudioError(f"{operator} is not among the operators that every backend does alike.")


def _equals(document: Any, path: str, wanted: Any) -> bool:
    if "." not in path and type(document) is dict:
        found = document.get(path, MISSING)
        if type(found) is str:
            return bool(found == wanted)
    key = key_of(wanted)
    return any(key_of(value) == key for value in _candidates(document, path))


def _among(document: Any, path: str, wanted: Sequence[Any]) -> bool:
    keys = {key_of(value) for value in wanted}
    return any(key_of(value) in keys for value in _candidates(document, path))


def _exists(document: Any, path: str, wanted: Any) -> bool:
    return any(value is not MISSING for value in values_at(document, path)) == bool(wanted)


def _element(document: Any, path: str, wanted: Mapping[str, Any]) -> bool:
    arrays = [value for value in values_at(document, path) if isinstance(value, list)]
    return any(fits(element, wanted) for array in arrays for element in array)


def fits(element: Any, wanted: Any) -> bool:
    """Return whether an array's element fits: by operators, by a filter (objects), or by being equal."""
    if is_operators(wanted) and not wanted.keys() & {"$and", "$or"}:
        return matches({"v": element}, {"v": wanted})
    return isinstance(element, dict) and matches(element, wanted)


def _compared(test: Callable[[Key, Key], bool]) -> Callable[[Any, str, Any], bool]:
    def check(document: Any, path: str, wanted: Any) -> bool:
        bound = key_of(wanted)
        keys = map(key_of, _candidates(document, path))
        return any(key[0] == bound[0] and test(key, bound) for key in keys)

    return check


_OPERATORS: dict[str, Callable[[Any, str, Any], bool]] = {
    "$eq": _equals,
    "$ne": lambda document, path, wanted: not _equals(document, path, wanted),
    "$in": _among,
    "$nin": lambda document, path, wanted: not _among(document, path, wanted),
    "$gt": _compared(lambda key, bound: key > bound),
    "$gte": _compared(lambda key, bound: key >= bound),
    "$lt": _compared(lambda key, bound: key < bound),
    "$lte": _compared(lambda key, bound: key <= bound),
    "$exists": _exists,
    "$elemMatch": _element,
}


def _operator(name: str) -> Callable[[Any, str, Any], bool]:
    if name not in _OPERATORS:
        raise _refused(name)
    return _OPERATORS[name]


def sort_key(document: Doc, path: str, direction: int) -> Key:
    """Return what to order by: of an array its least element, or its greatest when descending."""
    keys = [key for value in values_at(document, path) for key in _sort_keys(value)]
    return (min(keys) if direction > 0 else max(keys)) if keys else (0,)


def _sort_keys(value: Any) -> list[Key]:
    return (list(map(key_of, value)) or [(-1,)]) if isinstance(value, list) else [key_of(value)]


def projected(document: Doc, fields: Sequence[str]) -> Doc:
    """Return `_id` and the named fields, through arrays, in the document's own order."""
    wanted: Doc = {"_id": True}
    for path in fields:
        *parents, last = path.split(".")
        node = wanted
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = True
    picked: Doc = _pick(document, wanted)
    return picked


def _pick(value: Any, wanted: Any) -> Any:
    if wanted is True:
        return value
    if isinstance(value, list):
        return [_pick(element, wanted) for element in value if isinstance(element, (dict, list))]
    return {
        name: _pick(part, wanted[name])
        for name, part in value.items()
        if name in wanted and (wanted[name] is True or isinstance(part, (dict, list)))
    }
