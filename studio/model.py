"""The base of every model on the wire, and the shapes that all rooms share."""

import os
import threading
import time
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

Doc = dict[str, Any]
"""A stored document: snake_case fields, `_id` a sortable string."""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_SHIFTS = range(120, -1, -10)
_lock = threading.Lock()
_last = 0
_noise: list[int] = []
"""80 random bits each, drawn from the system a hundred at a time: one draw costs as much as the rest of an id."""
os.register_at_fork(after_in_child=_noise.clear)
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class Model(BaseModel):
    """A model whose JSON is camelCase and whose body refuses unknown fields; answers have every field."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        defer_build=True,  # all at the start cost 75 ms and 4 MiB; tests/test_deferred_models.py builds each
        json_schema_serialization_defaults_required=True,  # as answers are sent: see studio.web.wire
        populate_by_name=True,
        extra="forbid",
    )


def now_ms() -> int:
    """Return the UTC wall clock in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """Return a ULID (26 characters, sortable by creation, strictly rising within a process).

    Source: the ULID specification, 48 bits of milliseconds and 80 random bits in Crockford's base 32.
    """
    global _last  # noqa: PLW0603 - the last id is what makes the next one larger
    with _lock:
        if not _noise:
            drawn = os.urandom(1000)
            _noise.extend(int.from_bytes(drawn[at : at + 10]) for at in range(0, 1000, 10))
        _last = value = max((now_ms() << 80) | _noise.pop(), _last + 1)
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in _SHIFTS])
