"""What other plugins use: `await audit(ctx, actor, "role.changed", ("role", role_id), before=…, after=…)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from studio import PluginUnavailableError, current_request_id, new_id, now_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from studio import Actor, Doc, PluginContext

MAX_TEXT = 500


class Change(TypedDict):
    """The fields that differ, as they were and as they are."""

    before: Doc
    after: Doc


class AuditLog(Protocol):
    """Keeps entries."""

    async def keep(self, entry: Doc) -> None:
        """Store an entry; what cannot be stored is logged and raises nothing."""
        ...


async def audit(
    ctx: PluginContext,
    actor: Actor,
    action: str,
    target: tuple[str, str],
    *,
    project_id: str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write that `actor` did `action` to `target` (type, id). Name fields that anybody who reads logs may see."""
    who = {"kind": actor.kind, "id": actor.user_id, "name": actor.name, "session_id": actor.session_id}
    entry: Doc = {
        "_id": new_id(),
        "at": now_ms(),
        "actor": who,
        "action": action,
        "target": dict(zip(("type", "id"), target, strict=True)),
        "project_id": project_id,
        "before": _short(before),
        "after": _short(after),
        "request_id": current_request_id(),
    }
    ctx.log.info("audit", entry_id=entry["_id"], **{n: v for n, v in entry.items() if n not in ("_id", "at")})
    try:
        log = ctx.service(AuditLog)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
    except PluginUnavailableError:
        return
    await log.keep(entry)


def differences(before: Doc, after: Doc, names: Iterable[str]) -> Change:
    """Return those fields whose value is another one now, to be given to `audit` as `**differences(…)`."""
    changed = [name for name in names if before.get(name) != after.get(name)]
    was, now = ({name: stored.get(name) for name in changed} for stored in (before, after))
    return {"before": was, "after": now}


def _short(values: Mapping[str, Any] | None) -> Doc | None:
    if values is None:
        return None
    return {name: value[:MAX_TEXT] if isinstance(value, str) else value for name, value in values.items()}
