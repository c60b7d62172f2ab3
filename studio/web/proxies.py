"""What reverse proxies say of the client: believed from ours, ignored from everybody else."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp import web

SECURE = web.RequestKey("secure", bool)
"""Whether a proxy of ours says that the client came by https."""
Network = IPv4Network | IPv6Network


def believe(request: web.Request, proxies: list[Network]) -> web.Request:
    """Return the request with the client's own address and scheme: the last hop that is no proxy of ours."""
    address = _address(request.remote or "")
    if not is_ours(address, proxies):
        return request
    hops = ",".join(request.headers.getall("X-Forwarded-For", ())).split(",")
    while is_ours(address, proxies) and hops and (hop := _address(hops.pop())):
        address = hop
    scheme = request.headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip()
    request[SECURE] = scheme == "https"
    scheme = scheme if scheme in ("http", "https") else request.scheme
    return request.clone(remote=str(address), scheme=scheme)


def is_ours(address: IPv4Address | IPv6Address | str | None, proxies: list[Network]) -> bool:
    """Return whether a proxy of ours has this address."""
    parsed = _address(address) if isinstance(address, str) else address
    return parsed is not None and any(parsed in network for network in proxies)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address  # how a socket for both versions shows IPv4
