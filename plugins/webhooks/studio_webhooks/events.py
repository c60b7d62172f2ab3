"""What others can be told of: each activity of a project, and how its jobs end."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from studio import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from studio import ActivityAction, Doc

EVERYTHING, TEST = "*", "webhook.test"
PROJECT_DELETED = "project.deleted"
BODY_BYTES = 20_000
"""Source: Standard Webhooks, "payload size": below 20 KB."""
JOBS = {f"job.{state}": f"A job has {word}" for state, word in (
    ("succeeded", "succeeded"), ("failed", "failed"), ("cancelled", "been cancelled")
)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that happened in a project; `id` is the same however often it is told, `at` is UTC ms."""

    id: str
    project_id: str
    type: str
    at: int
    data: Mapping[str, Any] = field(default_factory=dict)

    def body(self) -> str:
        """Return the JSON that is sent: type, timestamp, data; of what is too large only the ids."""
        when = datetime.fromtimestamp(self.at / 1000, UTC).isoformat(timespec="milliseconds")
        head = {"type": self.type, "timestamp": when.replace("+00:00", "Z")}
        known = {"id": self.id, "projectId": self.project_id}
        text = json.dumps({**head, "data": {**known, **self.data}}, ensure_ascii=False, default=str)
        if len(text.encode()) < BODY_BYTES:
            return text
        return json.dumps({**head, "data": {**known, "truncated": True}})


def of_activity(activity: Doc) -> Occurrence:
    """Return the event of a stored activity."""
    data = {name: activity.get(name) for name in ("actor", "target", "params")}
    data["jobId"] = activity.get("job_id")
    return Occurrence(activity["_id"], activity["project_id"], activity["action"], activity["at"], data)


def of_job(job: Doc, at: int) -> Occurrence | None:
    """Return the event of a job that has just ended, None of any other."""
    if job.get("state") not in TERMINAL or "project_id" not in job:
        return None
    wire = {"kind": "kind", "state": "state", "target": "target", "attempt": "attempt", "provider": "provider",
            "model": "model", "costUusd": "cost_uusd", "resultAssetIds": "result_asset_ids"}  # fmt: skip
    data = {shown: job.get(stored) for shown, stored in wire.items()}
    error = job.get("error") if job["state"] == "failed" else None
    data["error"] = error and {name: error.get(name) for name in ("code", "message")}
    data["jobId"] = job["_id"]
    occurred = job.get("finished_at") or at
    return Occurrence(
        f"{job['_id']}.{job['state_seq']}", job["project_id"], f"job.{job['state']}", occurred, data
    )


def event_types(actions: Mapping[str, ActivityAction]) -> list[Doc]:
    """Return everything that can be chosen, by name."""
    found = [{"type": a.code, "title": a.label, "category": a.category} for a in actions.values()]
    found += [{"type": name, "title": title, "category": "job"} for name, title in JOBS.items()]
    return sorted(found, key=lambda event: event["type"])
