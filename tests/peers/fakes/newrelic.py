"""New Relic that is none: it takes gzipped batches and says only later, if at all, that it could not read them.

Source: New Relic, Log API and Event API: limits and answers.
"""

from __future__ import annotations

import gzip
import re
import uuid
import zlib

import orjson
from aiohttp import web

from studio.testing.vendor import FakeVendor

KEY, ACCOUNT = "fake-license-key-of-40-characters-NRAL00", "1234567"
MAX_BYTES = 1_000_000


class FakeNewRelic(FakeVendor):
    """`logs` and `events` are what was taken and read; `errors` is what `NrIntegrationError` would show."""

    def __init__(self):
        super().__init__()
        self.logs, self.events, self.errors, self.common = [], [], [], []
        self.max_bytes = MAX_BYTES

    def routes(self):
        return [web.post("/log/v1", self._log), web.post("/v1/accounts/{account}/events", self._event)]

    def error_body(self, status):
        return {"requestId": str(uuid.uuid4())}

    async def _body(self, request):
        if request.headers.get("Api-Key") != KEY:
            return None, web.json_response({"requestId": str(uuid.uuid4())}, status=403)
        call = self.calls[-1]
        if len(call.body) > self.max_bytes:
            return None, web.json_response({"requestId": str(uuid.uuid4())}, status=413)
        try:
            return orjson.loads(unpacked(call)), None
        except (orjson.JSONDecodeError, OSError, EOFError, zlib.error):
            return None, web.json_response({"requestId": str(uuid.uuid4())}, status=400)

    async def _log(self, request):
        body, refused = await self._body(request)
        if refused:
            return refused
        for part in body:
            self.common.append(part["common"]["attributes"])
            for record in part["logs"]:
                wrong = wrong_log(record)
                (self.errors if wrong else self.logs).append((wrong, record) if wrong else record)
        return web.json_response({"requestId": str(uuid.uuid4())}, status=202)

    async def _event(self, request):
        body, refused = await self._body(request)
        if refused:
            return refused
        if request.match_info["account"] != ACCOUNT:
            return web.json_response({"success": False}, status=403)
        for event in body:
            wrong = wrong_event(event)
            (self.errors if wrong else self.events).append((wrong, event) if wrong else event)
        return web.json_response({"success": True, "uuid": str(uuid.uuid4())})


def unpacked(call):
    """Return the body as it was before it was compressed (aiohttp's server may have done so already)."""
    return gzip.decompress(call.body) if call.body[:2] == b"\x1f\x8b" else call.body


def wrong_log(record):
    attributes = record.get("attributes", {})
    if not isinstance(record.get("timestamp"), int) or not isinstance(record.get("message"), str):
        return "timestamp or message"
    if len(attributes) > 255 or any(len(name) > 255 for name in attributes):
        return "attributes"
    return next(
        (f"nested {name}" for name, value in attributes.items() if isinstance(value, (dict, list))), None
    )


def wrong_event(event):
    if not re.fullmatch(r"[A-Za-z0-9:_]{1,255}", str(event.get("eventType", ""))):
        return "eventType"
    if len(event) > 255:
        return "attributes"
    for name, value in event.items():
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            return f"type of {name}"
        if isinstance(value, str) and len(value) > 4096:
            return f"length of {name}"
    return None
