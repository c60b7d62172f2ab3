"""One owner task per plugin: it enters `lifespan`, waits, and leaves it, so that scopes never cross tasks."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from studio.boundary import contained, exit_refused
from studio.plugins.state import reason_of
from studio.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from studio.dispatch import Implementation
    from studio.plugins.state import PluginRecord

log = get_logger("studio.plugins")
GRACE_S = 1.0
"""How long a cancelled start may take to unwind before its task is abandoned."""


class PluginRunner:
    """Starts one plugin, `prepare(name)` first, and stops it. Both return None, or why it failed."""

    def __init__(
        self,
        record: PluginRecord,
        lifespans: list[Implementation],
        prepare: Callable[[str], Awaitable[object]],
    ) -> None:
        self._record, self._prepare = record, prepare
        self._lifespan = next((impl for impl in lifespans if impl.plugin == record.name), None)
        self._ready = asyncio.Event()
        self._leave = asyncio.Event()
        self._task = asyncio.create_task(self._own(), name=f"plugin:{record.name}")

    async def start(self, *, warn_s: float, deadline_s: float) -> str | None:
        """Wait until the lifespan is entered; gives up after `deadline_s`."""
        record = self._record
        ready = asyncio.create_task(self._ready.wait())
        warn_s = min(warn_s, deadline_s)
        try:
            for limit in (warn_s, deadline_s - warn_s):
                await asyncio.wait({self._task, ready}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
                if self._ready.is_set() or self._task.done():
                    return self._outcome()
                log.warning("plugin_slow_start", plugin=record.name, phase=record.phase, seconds=limit)
            await self._end()
            return f"its {record.phase} did not end within {deadline_s:.1f} s (plugins.start_deadline_s)"
        finally:
            ready.cancel()

    async def stop(self, deadline_s: float) -> str | None:
        """Leave the lifespan; what does not end in time is cancelled, then abandoned."""
        self._leave.set()
        if not self._ready.is_set():  # the start itself was cut short
            self._task.cancel()
        await asyncio.wait({self._task}, timeout=deadline_s)
        if not self._task.done():
            await self._end()
            return f"its lifespan did not end within {deadline_s:g} s"
        return self._outcome()

    async def _own(self) -> None:
        with contained(exit_refused, SystemExit):  # the event loop goes on, and this task fails
            async with AsyncExitStack() as stack:
                if self._record.ctx:
                    stack.push_async_callback(self._record.ctx.close)
                self._record.phase = "migrate"
                await self._prepare(self._record.name)
                self._record.phase = "start"
                if self._lifespan:
                    await stack.enter_async_context(self._lifespan())
                self._ready.set()
                await self._leave.wait()

    async def _end(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=GRACE_S)

    def _outcome(self) -> str | None:
        if not self._task.done():
            return None
        if self._task.cancelled():
            return "its lifespan was cancelled"
        error = self._task.exception()
        return reason_of(error) if error else None
