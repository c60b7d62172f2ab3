"""Counts bad signatures by address. Checking one costs little, but a flood of them shall cost even less.

Only strangers are held off: an address that has shown a good signature may be a vendor's, or a proxy that a
vendor and somebody else share, and then nothing a vendor sends may be lost.
"""

from __future__ import annotations

import math
import time
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from studio import RateLimitedError

if TYPE_CHECKING:
    from collections.abc import Callable

KNOWN_S = 86_400.0
MOST = 10_000
"""So many addresses are remembered of each kind."""
NETWORK_BITS = 64
"""One IPv6 customer has at least a /64: its addresses are one caller."""


class Strangers:
    """`calls` bad signatures an address may send within `seconds`; kept in this process."""

    def __init__(self, calls: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._calls, self._seconds, self._clock = calls, seconds, clock
        self._ends = 0.0
        self._bad: dict[str, int] = {}
        self._known: dict[str, float] = {}

    def check(self, remote: str) -> None:
        """Raise RateLimitedError for a stranger who has used up the tries of this window."""
        caller, now = network(remote), self._clock()
        if now >= self._ends:
            self._bad.clear()
            return
        if self._bad.get(caller, 0) >= self._calls and self._known.get(caller, 0.0) < now:
            wait = math.ceil(self._ends - now)
            raise RateLimitedError(f"Too many bad signatures: try again in {wait} s.", retry_after=wait)

    def refused(self, remote: str) -> None:
        """Count a bad signature."""
        caller, now = network(remote), self._clock()
        if now >= self._ends or len(self._bad) >= MOST:
            self._bad.clear()
            self._ends = now + self._seconds
        self._bad[caller] = self._bad.get(caller, 0) + 1

    def passed(self, remote: str) -> None:
        """Remember for a day that this address has shown a good signature."""
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[network(remote)] = self._clock() + KNOWN_S


def network(remote: str) -> str:
    """Return whom an address stands for: of IPv6 its /64, whatever else as it is."""
    try:
        address = ip_address(remote.partition("%")[0])
    except ValueError:
        return remote
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(IPv6Address(int(address) >> NETWORK_BITS << NETWORK_BITS))
    return str(getattr(address, "ipv4_mapped", None) or address)
