"""Centrifugo that is none: its server API with errors inside HTTP 200, namespaces, idempotency per channel.

Source: Centrifugo server API and error codes, versions 5 and 6.
"""

from __future__ import annotations

from collections import defaultdict, deque

import orjson
from aiohttp import web

from studio.testing.vendor import FakeVendor

KEY = "centrifugo-api-key-of-a-fake"
MESSAGES = {
    100: "internal server error",
    102: "unknown channel",
    104: "method not found",
    107: "bad request",
    108: "not available",
    111: "too many requests",
}
FIELDS = {
    "publish": {"channel", "data", "skip_history", "tags", "b64data", "idempotency_key", "delta", "version"},
    "broadcast": {
        "channels",
        "data",
        "skip_history",
        "tags",
        "b64data",
        "idempotency_key",
        "delta",
        "version",
    },
    "disconnect": {"user", "client", "session", "whitelist", "disconnect"},
    "presence": {"channel"},
    "presence_stats": {"channel"},
    "history": {"channel", "limit", "since", "reverse"},
    "info": set(),
}


class FakeCentrifugo(FakeVendor):
    """`seen[channel]` is what a subscriber got; `codes` are errors that the next commands answer with."""

    def __init__(self):
        super().__init__()
        self.namespaces = {"minimatics", "rooms"}
        self.seen = defaultdict(list)
        self.cut = []
        self.codes = deque()
        self._keys = {}

    def routes(self):
        return [web.post("/api/{method}", self._api)]

    async def _api(self, request):
        if request.headers.get("X-API-Key") != KEY and request.query.get("api_key") != KEY:
            return web.Response(status=401, text="Unauthorized")
        try:
            params = orjson.loads(await request.read() or b"{}")
        except orjson.JSONDecodeError:
            return web.Response(status=400, text="Bad Request")
        if not isinstance(params, dict):
            return web.Response(status=400, text="Bad Request")
        method = request.match_info["method"]
        if method == "batch":
            return web.json_response({"replies": [self._command(c) for c in params.get("commands", [])]})
        answer = self._run(method, params)
        return web.json_response(answer if "error" in answer else {"result": answer})

    def _command(self, command):
        [(method, params)] = command.items()
        answer = self._run(method, params)
        return answer if "error" in answer else {method: answer}

    def _run(self, method, params):
        if method not in FIELDS:
            return error(104)
        if set(params) - FIELDS[method]:
            return error(107)
        if self.codes and (code := self.codes.popleft()):
            return error(code)
        return getattr(self, f"_{method}")(params)

    def _publish(self, params):
        return self._to(params.get("channel", ""), params)

    def _broadcast(self, params):
        responses = [self._to(channel, params) for channel in params["channels"]]
        return {"responses": [r if "error" in r else {"result": r} for r in responses]}

    def _to(self, channel, params):
        if not channel or "data" not in params:
            return error(107)
        namespace = channel.partition(":")[0]
        if namespace not in self.namespaces or len(channel) > 255:
            return error(102)
        key = params.get("idempotency_key")
        if key and (channel, key) in self._keys:
            return self._keys[channel, key]
        self.seen[channel].append(params["data"])
        answer = {"offset": len(self.seen[channel]), "epoch": "fake"}
        if key:
            self._keys[channel, key] = answer
        return answer

    def _disconnect(self, params):
        if not params.get("user"):
            return error(107)
        self.cut.append((params["user"], (params.get("disconnect") or {}).get("code")))
        return {}

    def _presence(self, params):
        return error(108)

    def _presence_stats(self, params):
        return error(108)

    def _history(self, params):
        seen = self.seen[params["channel"]]
        publications = [{"data": data, "offset": n} for n, data in enumerate(seen, 1)]
        shown = publications[: params["limit"]] if params.get("limit") else []
        return {"publications": shown, "offset": len(seen), "epoch": "fake"}

    def _info(self, params):
        return {"nodes": [{"uid": "1", "name": "fake", "version": "6.2.4", "num_clients": 0}]}


def error(code):
    return {"error": {"code": code, "message": MESSAGES[code]}}
