"""Whose call it is: an API key's, a user's, or an address's."""

from __future__ import annotations

import hashlib
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from studio import Credentials, StudioError

if TYPE_CHECKING:
    from aiohttp import web

    from studio import PluginContext

KNOWN = 50_000
NETWORK_BITS = 64
"""One IPv6 customer has at least a /64: its addresses are one caller."""


def address_of(request: web.Request) -> str:
    """Return the caller of a request without credentials; the kernel believes trusted proxies only."""
    remote = request.remote or ""
    return _network(remote) if ":" in remote else remote


def _network(remote: str) -> str:
    try:
        address = ip_address(remote.partition("%")[0])
    except ValueError:
        return remote
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return f"{IPv6Address(int(address) >> NETWORK_BITS << NETWORK_BITS)}/{NETWORK_BITS}"
    return str(getattr(address, "ipv4_mapped", None) or address)


class Callers:
    """Remembers whose a token is, by the token's hash; that says whose calls it counts as, and allows nothing."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self.known: dict[int, str] = {}

    async def identify(self, request: web.Request, shown: str) -> str | None:
        """Ask who is behind credentials that were not seen before; None for nobody."""
        token = request.headers.get("Authorization")
        cookies = {} if token else request.cookies
        try:
            actor = await self._ctx.auth.authenticate(Credentials(token, cookies, request.remote or ""))
        except StudioError:
            return None
        if len(self.known) >= KNOWN:
            self.known.clear()
        key = hashlib.sha256(shown.encode()).hexdigest()[:32]
        caller = self.known[hash(shown)] = key if actor.kind == "api_key" else f"user:{actor.user_id}"
        return caller
