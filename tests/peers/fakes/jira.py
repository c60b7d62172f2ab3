"""Jira Cloud that is none: issues with Atlassian documents, labels to search by, attachments behind their header.

Source: Jira Cloud REST API v3 and the Atlassian Document Format.
"""

from __future__ import annotations

import base64
import re
from email.parser import BytesParser
from email.policy import HTTP

import orjson
from aiohttp import web

from studio.testing.vendor import FakeVendor

EMAIL, TOKEN, ACCESS, CLOUD = (
    "bot@example.com",
    "ATATT-fake-token",
    "oauth-fake-token",
    "11223344-a1b2-3c4d-abcd-0123456789ab",
)
CLIENT, CLIENT_SECRET, REFRESH = "client-1", "client-fake-secret", "refresh-fake-token"
FIELDS = {"project", "issuetype", "summary", "description", "labels", "priority"}
NODES = {
    "doc": {"type", "version", "content"},
    "paragraph": {"type", "content"},
    "codeBlock": {"type", "attrs", "content"},
    "text": {"type", "text"},
    "hardBreak": {"type"},
}
LIMIT = 32_767


class FakeJira(FakeVendor):
    """`issues` by key. `lagging` hides new issues from the search; `upload_limit` is what an attachment may have."""

    def __init__(self):
        super().__init__()
        self.issues = {}
        self.lagging = False
        self.upload_limit = 1_000_000
        self.stranger = False
        self.pages_before = 0
        self.access = ACCESS
        """The token that the gateway takes now."""
        self.refresh = REFRESH
        """The one that renews it next: each is good once."""
        self.expires_in = 3600
        self.renewals = 0

    def routes(self):
        found = [web.post("/oauth/token", self._renew)]
        for base in ("", f"/ex/jira/{CLOUD}"):
            api = f"{base}/rest/api/3"
            found += [
                web.get(f"{api}/serverInfo", self._server_info),
                web.get(f"{api}/field", self._fields),
                web.get(f"{api}/attachment/meta", self._meta),
                web.post(f"{api}/issue", self._create),
                web.get(f"{api}/issue/{{key}}", self._get),
                web.post(f"{api}/issue/{{key}}/attachments", self._attach),
                web.post(f"{api}/search/jql", self._search),
                web.get(f"{api}/search/jql", self._search),
                web.post(f"{api}/search", self._gone),
            ]
        return found

    def error_body(self, status):
        return {"errorMessages": [f"status {status}"], "errors": {}}

    async def _renew(self, request):
        """Answer as developer.atlassian.com says: a new pair, and the refresh token that was used is disabled."""
        asked = orjson.loads(await request.read())
        app = {"grant_type": "refresh_token", "client_id": CLIENT, "client_secret": CLIENT_SECRET}
        if asked != app | {"refresh_token": self.refresh}:
            told = {"error": "invalid_grant", "error_description": "Unknown or invalid refresh token."}
            return web.json_response(told, status=403)
        self.renewals += 1
        self.access, self.refresh = f"access-{self.renewals}", f"refresh-{self.renewals}"
        told = {"access_token": self.access, "refresh_token": self.refresh, "expires_in": self.expires_in}
        return web.json_response(told | {"scope": "read:jira-work write:jira-work offline_access"})

    def _refused(self, request):
        basic = base64.b64encode(f"{EMAIL}:{TOKEN}".encode()).decode()
        wanted = f"Bearer {self.access}" if request.path.startswith("/ex/") else f"Basic {basic}"
        if request.headers.get("Authorization") == wanted:
            return None
        if self.stranger:  # a site that strangers may look at answers them, with nothing in it
            answer = {"issues": [], "isLast": True}
            return web.json_response(answer, headers={"X-Seraph-Loginreason": "AUTHENTICATED_FAILED"})
        return web.json_response(
            {"errorMessages": ["Client must be authenticated to access this resource."], "errors": {}},
            status=401,
        )

    def _no(self, status, *messages, **errors):
        return web.json_response({"errorMessages": list(messages), "errors": errors}, status=status)

    async def _server_info(self, request):
        return web.json_response(
            {
                "baseUrl": self.url,
                "version": "1001.0.0-SNAPSHOT",
                "versionNumbers": [1001, 0, 0],
                "deploymentType": "Cloud",
            }
        )

    async def _fields(self, request):
        return web.json_response(
            [{"id": name, "name": name, "clauseNames": [name]} for name in ("key", "labels")]
        )

    async def _meta(self, request):
        return web.json_response({"enabled": True, "uploadLimit": self.upload_limit})

    async def _gone(self, request):
        return self._no(
            410, "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API."
        )

    async def _create(self, request):
        if refused := self._refused(request):
            return refused
        body = orjson.loads(await request.read())
        if errors := self._wrong(body.get("fields", {})):
            return self._no(400, **errors)
        number = 23 + len(self.issues) + 1
        key = f"STU-{number}"
        self.issues[key] = {
            "id": str(10_000 + number),
            "key": key,
            "fields": body["fields"],
            "attachments": [],
        }
        told = {
            "id": self.issues[key]["id"],
            "key": key,
            "self": f"{self.url}/rest/api/3/issue/{10_000 + number}",
        }
        return web.json_response(told, status=201)

    def _wrong(self, fields):
        wrong = {name: f"Field '{name}' cannot be set." for name in set(fields) - FIELDS}
        summary = fields.get("summary") or ""
        if fields.get("project", {}).get("key") != "STU":
            wrong["project"] = "valid project is required"
        if fields.get("issuetype", {}).get("name") not in ("Bug", "Task"):
            wrong["issuetype"] = "Specify a valid issue type"
        if not summary.strip():
            wrong["summary"] = "You must specify a summary of the issue."
        elif len(summary) > 255:
            wrong["summary"] = "Summary can't exceed 255 characters."
        elif "\n" in summary:
            wrong["summary"] = "The summary is invalid because it contains newline characters."
        if any(re.search(r"\s", label) for label in fields.get("labels", [])):
            wrong["labels"] = "The label contains spaces which is invalid."
        if (document := fields.get("description")) is not None and (size := size_of(document)) is not None:
            if size < 0:
                wrong["description"] = (
                    "Operation value must be an Atlassian Document (see the Atlassian Document Format)"
                )
            elif size > LIMIT:
                wrong["description"] = (
                    "The entered text is too long. It exceeds the allowed limit of 32,767 characters."
                )
        return wrong

    async def _get(self, request):
        found = self.issues.get(request.match_info["key"])
        if found is None:
            return self._no(404, "Issue does not exist or you do not have permission to see it.")
        return web.json_response(found)

    async def _attach(self, request):
        if refused := self._refused(request):
            return refused
        if request.headers.get("X-Atlassian-Token") != "no-check":
            return web.Response(status=403, text="XSRF check failed")
        found = self.issues.get(request.match_info["key"])
        if found is None:
            return self._no(404, "Issue does not exist or you do not have permission to see it.")
        taken = []
        for name, content, mime in files_of(request.headers["Content-Type"], await request.read()):
            if len(content) > self.upload_limit:
                return self._no(413, "The attachment is too large.")
            number = str(20_000 + len(found["attachments"]))
            kept = {
                "id": number,
                "filename": name,
                "size": len(content),
                "mimeType": mime,
            }
            found["attachments"].append(kept | {"bytes": content})
            taken.append(
                kept
                | {"self": f"{self.url}/rest/api/3/attachment/{number}", "created": "2026-11-23T10:00:00Z"}
            )
        return web.json_response(taken) if taken else self._no(400, "No files")

    async def _search(self, request):
        if refused := self._refused(request):
            return refused
        asked = orjson.loads(await request.read()) if request.method == "POST" else dict(request.query)
        if set(asked) - {
            "jql",
            "maxResults",
            "fields",
            "nextPageToken",
            "expand",
            "properties",
            "reconcileIssues",
        }:
            return self._no(
                400, "Invalid request payload. Refer to the REST API documentation and try again."
            )
        known = re.fullmatch(r'project = "(\w+)" AND labels = "([^"\\]+)" ORDER BY created ASC', asked["jql"])
        if known is None:
            return self._no(400, f"Error in the JQL Query: {asked['jql'][:50]}")
        if self.pages_before:
            self.pages_before -= 1
            return web.json_response({"issues": [], "nextPageToken": "more", "isLast": False})
        project, label = known.groups()
        found = [
            {"id": issue["id"], "key": key, "self": f"{self.url}/rest/api/3/issue/{issue['id']}"}
            for key, issue in self.issues.items()
            if key.startswith(f"{project}-")
            and label in issue["fields"].get("labels", [])
            and not self.lagging
        ]
        return web.json_response({"issues": found[: int(asked.get("maxResults", 50))], "isLast": True})


def size_of(node, root=True):
    """Return the characters of an Atlassian document, -1 when it is none."""
    if (
        not isinstance(node, dict)
        or set(node) != NODES.get(node.get("type"))
        or (root and node["type"] != "doc")
    ):
        return -1
    if node["type"] == "text":
        return len(node["text"]) if isinstance(node["text"], str) and node["text"] else -1
    if node["type"] == "doc" and node["version"] != 1:
        return -1
    sizes = [size_of(child, root=False) for child in node.get("content", [])]
    return -1 if -1 in sizes else sum(sizes)


def files_of(content_type, body):
    """Return (file name, bytes, type) of each part called "file"."""
    whole = f"Content-Type: {content_type}\r\n\r\n".encode() + body
    parts = BytesParser(policy=HTTP).parsebytes(whole).iter_parts()
    return [
        (part.get_filename(), part.get_payload(decode=True), part.get_content_type())
        for part in parts
        if part.get_param("name", header="content-disposition") == "file"
    ]
