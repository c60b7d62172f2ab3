"""Another system that is told: it checks signatures as any user of Standard Webhooks does."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

if TYPE_CHECKING:
    import asyncio


@dataclass
class Receiver:
    """`answers` are the next statuses, 200 when there is none; `gates` hold paths up."""

    taken: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    """(path, webhook-id, body) of every call with a good signature."""
    refused: int = 0
    secrets: dict[str, str] = field(default_factory=dict)
    answers: deque[Any] = field(default_factory=deque)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def server(self):
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        return TestServer(app)

    async def _take(self, request):
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.calls.append((headers, body))
        if request.path in self.gates:
            await self.gates[request.path].wait()
        if request.path in self.secrets:
            try:
                said = Webhook(self.secrets[request.path]).verify(body, headers)
            except WebhookVerificationError:
                self.refused += 1
                return web.Response(status=401)
            self.taken.append((request.path, headers["webhook-id"], said))
        status = self.answers.popleft() if self.answers else 200
        return web.Response(status=status, headers=self.headers, text="the answer of another system")
