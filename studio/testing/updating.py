"""MongoDB's update operators on plain documents, as far as the repository contract promises them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio.database.documents import is_operators
from studio.errors import StudioError
from studio.testing.matching import MISSING, fits, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from studio.model import Doc


def applied(document: Doc, change: Mapping[str, Any], *, inserting: bool = False) -> None:
    """Change the document in place; raises StudioError where a server would refuse the update."""
    _check_paths([path for fields in change.values() for path in fields])
    for operator, fields in change.items():
        if operator == "$setOnInsert" and not inserting:
            continue
        for path, operand in fields.items():
            _OPERATORS[operator](document, path, operand)


def put(document: Doc, path: str, value: Any) -> None:
    """Set a dotted path, making the objects on the way."""
    parent, name = _parent(document, path, make=True)
    if isinstance(parent, list):
        parent.extend([None] * (name + 1 - len(parent)))
    parent[name] = value


def _check_paths(paths: list[str]) -> None:
    for path in paths:
        if "" in path.split("."):
            raise StudioError(f"The path {path!r} has an empty name.")
        if paths.count(path) > 1 or any(other.startswith(f"{path}.") for other in paths):
            raise StudioError(f"The update changes {path!r} twice.")


def _parent(document: Doc, path: str, *, make: bool) -> tuple[Any, Any]:
    """Return the container and the key in it; (None, None) when it is not there and not to be made."""
    *parents, last = path.split(".")
    node: Any = document
    for name in parents:
        child = _child(node, name)
        if child is MISSING:
            if not make:
                return None, None
            put_child(node, name, child := {})
        node = child
    if isinstance(node, list) and last.isdigit():
        return node, int(last)
    if isinstance(node, dict):
        return node, last
    if make:
        raise StudioError(f"The path {path!r} leads through a value that has no fields.")
    return None, None


def put_child(node: Any, name: str, child: Any) -> None:
    """Add a missing child to an object or array."""
    if isinstance(node, dict):
        node[name] = child
    elif isinstance(node, list) and name.isdigit():
        node.extend([None] * (int(name) - len(node)))
        node.append(child)
    else:
        raise StudioError(f"{name!r} cannot be made inside a value that has no fields.")


def _child(node: Any, name: str) -> Any:
    if isinstance(node, dict):
        return node.get(name, MISSING)
    if isinstance(node, list) and name.isdigit() and int(name) < len(node):
        return node[int(name)]
    return MISSING


def _current(document: Doc, path: str) -> Any:
    parent, name = _parent(document, path, make=False)
    return MISSING if parent is None else _child(parent, str(name))


def _unset(document: Doc, path: str, _: Any) -> None:
    parent, name = _parent(document, path, make=False)
    if isinstance(parent, dict):
        parent.pop(name, None)
    elif parent is not None and name < len(parent):
        parent[name] = None


def _inc(document: Doc, path: str, by: Any) -> None:
    current = _current(document, path)
    for number in (by, 0 if current is MISSING else current):
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise StudioError(f"$inc of {path!r}: {type(number).__name__} is no number.")
    put(document, path, by if current is MISSING else current + by)


def _array(document: Doc, path: str) -> list[Any]:
    current = _current(document, path)
    if current is MISSING:
        put(document, path, current := [])
    if not isinstance(current, list):
        raise StudioError(f"{path!r} is {type(current).__name__}, not an array.")
    return current


def _each(operand: Any) -> list[Any]:
    return operand["$each"] if is_operators(operand) else [operand]


def _push(document: Doc, path: str, operand: Any) -> None:
    array = _array(document, path)
    if is_operators(operand) and operand.keys() - {"$each", "$slice"}:
        raise StudioError("$push takes a value, or $each and $slice.")
    array.extend(_each(operand))
    keep = operand.get("$slice") if is_operators(operand) else None
    if keep is not None:
        array[:] = array[:keep] if keep >= 0 else array[keep:]


def _add_to_set(document: Doc, path: str, operand: Any) -> None:
    array = _array(document, path)
    for value in _each(operand):
        if key_of(value) not in map(key_of, array):
            array.append(value)


def _pull(document: Doc, path: str, wanted: Any) -> None:
    if _current(document, path) is MISSING:
        return
    array = _array(document, path)
    by_filter = isinstance(wanted, dict)
    array[:] = [
        value
        for value in array
        if not (fits(value, wanted) if by_filter else key_of(value) == key_of(wanted))
    ]


_OPERATORS: dict[str, Callable[[Doc, str, Any], None]] = {
    "$set": put,
    "$setOnInsert": put,
    "$unset": _unset,
    "$inc": _inc,
    "$push": _push,
    "$addToSet": _add_to_set,
    "$pull": _pull,
}
