"""Which addresses may be told. The kernel's client checks again, on the very address that it connects to."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from studio import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Container


def check_url(url: str, private_hosts: Container[str]) -> None:
    """Raise InvalidInputError unless `url` is https on a public host, or on one that the operator has named."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused("This is no address.") from None
    if not host or port == 0 or parts.username is not None or parts.fragment:
        raise _refused("Give an address with a host, and without user and fragment.")
    if host in private_hosts:
        return
    if parts.scheme != "https":
        raise _refused("The address must begin with https://.")
    if host == "localhost" or not _may_be_public(host):
        raise _refused("This host is not public; the operator can allow it in webhooks.private_hosts.")


def host_of(url: str) -> str:
    """Return what may be logged and shown of an address: paths and queries may hold secrets."""
    return urlsplit(url).hostname or ""


def _may_be_public(host: str) -> bool:
    """Say whether a literal address is public; a name is looked up when it is called."""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return True


def _refused(message: str) -> InvalidInputError:
    return InvalidInputError(message, errors=[{"pointer": "/url", "message": message}])
