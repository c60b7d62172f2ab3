"""Ports on the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket

HOST = "127.0.0.1"
_CONNECT_TIMEOUT_S = 0.5
# Below the range for outgoing connections (Linux 32768, macOS 49152): a client that keeps trying while its
# server restarts could otherwise be given that very port, connect to itself, and keep the port for good.
_LOWEST, _HIGHEST = 20_000, 32_000
_TRIES = 100


def is_free(port: int) -> bool:
    """Return whether a server could listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
    return True


def choose_port(remembered: object) -> int:
    """Return the remembered port if it is free, else another one; raises OSError when there is none."""
    if isinstance(remembered, int) and _LOWEST <= remembered < _HIGHEST and is_free(remembered):
        return remembered
    for _ in range(_TRIES):
        port = _LOWEST + secrets.randbelow(_HIGHEST - _LOWEST)
        if is_free(port):
            return port
    raise OSError(f"no free port between {_LOWEST} and {_HIGHEST} on {HOST}")


async def is_listening(port: int) -> bool:
    """Return whether somebody accepts connections on `port`."""
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(HOST, port)
    except OSError:  # TimeoutError is one
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
