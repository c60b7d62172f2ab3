"""`JiraIssueTracker`: files issues, finds them again by label, attaches files.

Jira has no idempotency: a create that may have arrived is an OutcomeUnknownError, never a second try. The search may
lag behind by some seconds: look twice before you file again.
"""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

from studio import (
    PayloadTooLargeError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    json_object,
)
from studio_jira.models import KEY, TABLE, fields_of, jql_of, reason_of
from studio_jira.settings import JiraSettings
from studio_jira.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from studio import HttpAnswer, Issue, PluginContext

DEADLINE_S, ATTACH_S, MAX_BYTES, PAGES = 20.0, 60.0, 1_000_000, 3
OK, CREATED, UNAUTHORIZED = 200, 201, 401
LOGIN_FAILED = "AUTHENTICATED_FAILED"
"""In `x-seraph-loginreason`: Jira refused the token and answered as it answers strangers, perhaps with nothing."""


class JiraIssueTracker:
    """The capability `issue_tracker`."""

    def __init__(self, ctx: PluginContext) -> None:
        self._settings = ctx.settings(JiraSettings)
        url, self._fixed = _way_in(self._settings)
        self._tokens = Tokens(ctx, self._settings) if self._fixed is None else None
        local = ("127.0.0.1", "localhost") if url.startswith("http://") else ()
        headers = {"Accept": "application/json"}
        self._http = ctx.http.client("jira", url, DEADLINE_S, MAX_BYTES, headers=headers, allow_private=local)

    async def create_issue(self, issue: Issue) -> str:
        """File an issue and return its key, e.g. "STU-24".

        Raises OutcomeUnknownError when it may exist: `find_issue` tells; ProviderRejectedError with the field
        that Jira refuses.
        """
        answer = await self._asked("/rest/api/3/issue", json=fields_of(issue, self._settings))
        key = json_object(self._good(answer, CREATED)).get("key")
        if not isinstance(key, str) or not KEY.fullmatch(key):
            raise ProviderError("Jira filed the issue and gave no key.", code="provider_bad_answer")
        return key

    async def find_issue(self, label: str) -> str | None:
        """Return the key of the oldest issue that carries `label`."""
        query: dict[str, Any] = {
            "jql": jql_of(label, self._settings.project or ""),
            "maxResults": 1,
            "fields": ["key"],
        }
        for _ in range(PAGES):
            answer = await self._asked("/rest/api/3/search/jql", kind="safe", json=query)
            found = json_object(self._good(answer, OK))
            issues = found.get("issues")
            if not isinstance(issues, list) or not all(isinstance(issue, dict) for issue in issues):
                raise ProviderError("Jira's search has no list of issues.", code="provider_bad_answer")
            if issues:
                return str(issues[0].get("key"))
            if not (token := found.get("nextPageToken")):
                return None
            query["nextPageToken"] = token
        return None

    async def attach(self, key: str, path: Path, mime: str) -> str:
        """Attach a file and return the attachment's id; raises PayloadTooLargeError, OutcomeUnknownError."""
        if not KEY.fullmatch(key):
            raise ProviderRejectedError("This is no key of an issue.", code="issue_not_found", input="key")
        content = await asyncio.to_thread(_read, path, self._settings.attachment_bytes)
        answer = await self._asked(
            f"/rest/api/3/issue/{key}/attachments",
            {"X-Atlassian-Token": "no-check"},
            deadline_s=ATTACH_S,
            files={"file": (path.name, content, mime)},
        )
        listed = self._good(answer, OK).json()
        first = listed[0] if isinstance(listed, list) and listed else None
        if not isinstance(first, dict) or not first.get("id"):
            raise ProviderError("Jira took the file and gave no id.", code="provider_bad_answer")
        return str(first["id"])

    async def _asked(self, path: str, headers: Mapping[str, str] | None = None, **content: Any) -> HttpAnswer:
        """Call Jira. A token that it refuses is renewed once, and the call repeated: it has not been taken."""
        if self._tokens is None:
            return await self._sent(path, self._fixed or "", headers, content)
        token = await self._tokens.current()
        answer = await self._sent(path, f"Bearer {token}", headers, content)
        if answer.status == UNAUTHORIZED:
            token = await self._tokens.current(refused=token)
            answer = await self._sent(path, f"Bearer {token}", headers, content)
        return answer

    async def _sent(
        self, path: str, authorization: str, headers: Mapping[str, str] | None, content: Mapping[str, Any]
    ) -> HttpAnswer:
        heads = {"Authorization": authorization, **(headers or {})}
        return await self._http.request("POST", path, headers=heads, **content)

    def _good(self, answer: HttpAnswer, status: int) -> HttpAnswer:
        if LOGIN_FAILED in answer.headers.get("x-seraph-loginreason", ""):
            raise ProviderUnavailableError("Jira refuses the token.", code="provider_key_refused")
        if answer.status == status:
            return answer
        try:
            message, field = reason_of(answer.json())
        except ProviderError:
            message, field = f"status {answer.status}", None
        error = TABLE.refusal(answer, message=message)
        if field is not None:
            error.extra["input"] = field
        raise error


def _way_in(settings: JiraSettings) -> tuple[str, str | None]:
    """Return base address and authorization; None: by a token that is renewed."""
    if settings.oauth:
        gateway, token = f"{settings.gateway}/ex/jira/{settings.cloud_id}", settings.access_token
        return gateway, None if token is None or settings.renewed else f"Bearer {token.get_secret_value()}"
    key = settings.api_token.get_secret_value() if settings.api_token else ""
    basic = base64.b64encode(f"{settings.email}:{key}".encode()).decode()
    return (settings.url or "").rstrip("/"), f"Basic {basic}"


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise PayloadTooLargeError(f"An attachment may have {limit} bytes.", code="attachment_too_large")
    return content
