"""Lists by cursor, and updates that do not overwrite each other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import Field

from studio.errors import BadRequestError
from studio.model import Model

if TYPE_CHECKING:
    from studio.web.route import Request


class PageQuery(Model):
    """The query of a list; derive from it for filters. `cursor` is the last answer's `nextCursor`."""

    cursor: str | None = Field(None, max_length=200)
    limit: int = Field(50, ge=1, le=200)


def expect_rev(request: Request) -> int | None:
    """Return the revision that `If-Match: "<rev>"` expects, None without one; raises BadRequestError."""
    given = request.raw.headers.get("If-Match")
    if given is None or given.strip() == "*":
        return None
    if not (found := re.fullmatch(r'\s*(?:W/)?"(\d{1,15})"\s*', given)):
        raise BadRequestError('If-Match must be one quoted revision, for example "3".')
    return int(found[1])
