"""Jira's words: an issue as it is created, its text as an Atlassian document, its errors.

Source: Jira Cloud REST API v3 (issues, attachments, search) and the Atlassian Document Format.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from studio import Fault, ProviderRejectedError, VendorTable, redact

if TYPE_CHECKING:
    from studio import Issue
    from studio_jira.settings import JiraSettings

SUMMARY_CHARS, TEXT_CHARS, CONTEXT_CHARS, LABEL_CHARS = 255, 20_000, 10_000, 255
"""A description may have 32,767 characters."""
KEY = re.compile(r"[A-Z][A-Z0-9_]*-\d+|\d+")
TABLE = VendorTable(
    "Jira",
    errors={
        400: Fault("issue_refused"),
        404: Fault("issue_not_found"),
        410: Fault("provider_gone"),
        413: Fault("attachment_too_large", input="attachment"),
    },
)
Node = dict[str, Any]


def fields_of(issue: Issue, settings: JiraSettings) -> Node:
    """Return the body of `POST /rest/api/3/issue`; what is registered as a secret does not leave the house."""
    labels = dict.fromkeys((label_of(issue.label), *map(label_of, issue.labels), *settings.labels))
    fields: Node = {
        "project": {"key": settings.project},
        "issuetype": {"name": settings.issue_type},
        "summary": _cut(" ".join(redact(issue.title).split()) or "Untitled", SUMMARY_CHARS),
        "description": document(issue),
        "labels": list(labels),
    }
    if settings.priority_id is not None:
        fields["priority"] = {"id": settings.priority_id}
    return {"fields": fields}


def document(issue: Issue) -> Node:
    """Return body and context as an Atlassian document; it has no empty text, which Jira refuses."""
    body = _cut(redact(issue.body), TEXT_CHARS)
    content = [node for part in re.split(r"\n\s*\n", body) if (node := paragraph(part))]
    if issue.context:
        shown = redact(json.dumps(issue.context, indent=2, ensure_ascii=False, default=str))
        content.append(
            {
                "type": "codeBlock",
                "attrs": {"language": "json"},
                "content": [{"type": "text", "text": _cut(shown, CONTEXT_CHARS)}],
            }
        )
    return {"type": "doc", "version": 1, "content": content or [paragraph("No description.")]}


def paragraph(text: str) -> Node | None:
    """Return lines as one paragraph, None when there is nothing to see."""
    nodes: list[Node] = []
    for line in text.strip().splitlines():
        if nodes:
            nodes.append({"type": "hardBreak"})
        if line.strip():
            nodes.append({"type": "text", "text": line.rstrip()})
    return {"type": "paragraph", "content": nodes} if nodes else None


def label_of(label: str) -> str:
    """Return a label as Jira and a search for it can carry it: no spaces, quotes or backslashes."""
    clean = re.sub(r"[\s\"'\\]+", "-", label).strip("-")[:LABEL_CHARS]
    if not clean:
        raise ProviderRejectedError(
            "An issue needs a label to be found by.", code="issue_refused", input="label"
        )
    return clean


def jql_of(label: str, project: str) -> str:
    """Return the search for the oldest issue with a label."""
    return f'project = "{project}" AND labels = "{label_of(label)}" ORDER BY created ASC'


def reason_of(body: Any) -> tuple[str, str | None]:
    """Return what `{errorMessages, errors}` says, and the first field that is at fault."""
    if not isinstance(body, dict):
        return "", None
    found = body.get("errors")
    errors: Node = found if isinstance(found, dict) else {}
    told = [str(message) for message in body.get("errorMessages") or ()]
    told += [f"{field}: {message}" for field, message in errors.items()]
    return "; ".join(told), next(iter(errors), None)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
