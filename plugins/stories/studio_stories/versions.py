"""What changes a document: revisions that clients edit, versions that a story keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio import ConflictError, Doc, now_ms

if TYPE_CHECKING:
    from pydantic import BaseModel

_CLEARED_BY_NULL = {"location_id", "voice_setting_id"}


@dataclass(frozen=True, slots=True)
class Change:
    """Why a story gets a new version, who made it, and which of its fields change.

    The script stays when it is None.
    """

    reason: str
    author_id: str
    fields: Doc
    script_text: str | None = None


def check_rev(doc: Doc, rev: int | None) -> None:
    """Raise ConflictError when the client's edit was made on another revision."""
    if rev is not None and rev != doc["rev"]:
        raise ConflictError(
            f"Somebody changed this meanwhile: you edited revision {rev}, it is {doc['rev']} now. Reload it.",
            code="stale_revision",
            rev=doc["rev"],
        )


def given(edit: BaseModel) -> Doc:
    """Return what an edit says, without `rev` and place; null clears a reference, else says nothing."""
    said = edit.model_dump(exclude={"rev", "after_id"})
    cleared = edit.model_fields_set & _CLEARED_BY_NULL
    return {name: value for name, value in said.items() if value is not None or name in cleared}


def version_fields(number: int, reason: str, author_id: str) -> Doc:
    """Return what a story says of the version that it is."""
    return {"version": number, "version_reason": reason, "version_by": author_id, "version_at": now_ms()}


def version_id(story_id: str, version: int) -> str:
    """Return the `_id` of a kept version."""
    return f"{story_id}:{version}"
