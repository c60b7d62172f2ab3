"""Keeps outgoing connections off private networks: the very address that was checked is connected."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import httpcore
import httpx

from studio.errors import ProviderRejectedError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

_NAT64 = [ipaddress.ip_network(network) for network in ("64:ff9b::/96", "64:ff9b:1::/48")]


def is_public(address: str) -> bool:
    """Say if `address` is on the public Internet, looking through mapped, NAT64, 6to4 and Teredo forms."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner: list[ipaddress.IPv4Address | None] = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        translated = any(ip in network for network in _NAT64)
        inner += [ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)] if translated else []
        if ip.is_site_local or not all(is_public(str(v4)) for v4 in inner if v4 is not None):
            return False
        if ip.ipv4_mapped or translated:
            return True
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not ip.is_unspecified


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves, checks, and connects to the very address it has checked: no second look-up can change it."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = allowed
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface of httpcore
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Try each address of `host` in turn; raises ProviderRejectedError when one of them is not public."""
        error: Exception = httpcore.ConnectError("no address")
        for address in await self._addresses(host, port, timeout):
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                error = failed
        raise error

    async def sleep(self, seconds: float) -> None:
        """Wait, for the pool."""
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int, limit: float | None) -> list[str]:
        try:
            async with asyncio.timeout(limit):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("name resolution") from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("name resolution") from error
        addresses = [str(entry[4][0]) for entry in found]
        if host not in self._allowed and not all(is_public(address) for address in addresses):
            raise ProviderRejectedError(f"{host} is not a public address.", code="address_refused")
        return addresses


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


class GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's own transport on a guarded pool; hosts in `allowed` may have any address.

    The pool is made at the first request: reading the certificates takes 25 ms, and most clients of a server
    that has just started are not asked at all.
    """

    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = allowed

    @cached_property
    def _pool(self) -> httpcore.AsyncConnectionPool:  # type: ignore[override]  # httpx sets an attribute
        return httpcore.AsyncConnectionPool(
            ssl_context=_tls(),
            max_connections=20,
            keepalive_expiry=15,
            network_backend=GuardedBackend(self._allowed),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it; the certificates are read in a thread, so that nobody else waits for them."""
        if "_pool" not in vars(self):
            await asyncio.to_thread(_tls)
        return await super().handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections, if any was ever asked for."""
        if "_pool" in vars(self):
            await self._pool.aclose()
