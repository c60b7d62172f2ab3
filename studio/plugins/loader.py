"""Loads plugins: choose, import each in its own try, order, register whole or not at all, start in levels."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from studio.boundary import contained
from studio.errors import PluginError
from studio.hooks import StudioHooks
from studio.plugins.context import PluginContext, Services
from studio.plugins.manifest import KERNEL, Manifest, check_manifest
from studio.plugins.registry import Registry, declared_by
from studio.plugins.runner import PluginRunner
from studio.plugins.state import ALIVE, BROKEN, PluginRecord, PluginState, discover, reason_of
from studio.settings import Settings
from studio.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping

    from pydantic import BaseModel

    from studio.config_reader import Environment
    from studio.dispatch import Dispatcher
    from studio.settings import PluginsSettings

BLOCK_LIMIT_S = 30.0
"""Code that blocks longer cannot be isolated in one process: the watchdog names it and ends the start."""
WATCH_S = 0.1
EX_SOFTWARE = 70
RETRIES, RETRY_PAUSE_S = 3, 0.2
log = get_logger("studio.plugins")


class Loader:
    """All plugins of one application, from discovery to stop. `records` is their state, in name order."""

    def __init__(
        self,
        environment: Environment,
        settings: PluginsSettings,
        *,
        recovery: bool = False,
        note: Callable[[str], object] = str,
    ) -> None:
        self._settings, self._note = settings, note
        self.records = discover()
        self.registry = Registry()
        self._dispatcher: Dispatcher
        self._runners: dict[str, PluginRunner] = {}
        self._levels: list[list[PluginRecord]] = []
        self._watchdog = _Watchdog()
        self._choose(environment, self._settings.recovery if recovery else self.records)

    def _choose(self, environment: Environment, only: Collection[str]) -> None:
        for name in {*(self._settings.enabled or ()), *self._settings.disabled} - set(self.records):
            log.warning("plugin_unknown", plugin=name, hint="it is configured, but no distribution offers it")
        for record in self.records.values():
            if not self._settings.allows(record.name, environment):
                reason = "disabled" if record.name in self._settings.disabled else "not enabled"
                record.fail("choose", f"{reason} by [plugins] in the configuration", PluginState.OFF)
            elif record.name not in only:
                record.fail("choose", "left out by the recovery mode", PluginState.OFF)

    def import_all(self) -> dict[str, type[BaseModel]]:
        """Import the chosen plugins and return the settings models they declare."""
        for record in self.records.values():
            if record.state is PluginState.FAILED:  # two distributions claim its name
                self._give_up(record, record.phase, record.error or "")
            elif record.state is PluginState.DISCOVERED:
                self._guarded(record, "import", self._import)
        found = {r.name: r.plugin.manifest for r in self.records.values() if r.plugin and r.alive}
        return {name: manifest.settings for name, manifest in found.items() if manifest.settings}

    def _import(self, record: PluginRecord) -> None:
        plugin = record.entry_point.load()()
        manifest = getattr(plugin, "manifest", None)
        if not isinstance(plugin, StudioHooks) or not isinstance(manifest, Manifest):
            raise PluginError(f"{record.entry_point.value} is no StudioHooks with a Manifest")
        check_manifest(record.name, manifest, {KERNEL, *Settings.model_fields})
        record.plugin, record.state = plugin, PluginState.IMPORTED

    def register_all(
        self, dispatcher: Dispatcher, services: Services, settings: Mapping[str, BaseModel]
    ) -> None:
        """Order the imported plugins and take their declarations in, each whole or not at all."""
        self._dispatcher = dispatcher

        def register(record: PluginRecord) -> None:
            assert record.plugin  # noqa: S101 - set by _import, which alone makes a record IMPORTED
            name = record.name
            record.ctx = PluginContext(name, services, settings.get(name), get_logger(name))
            with ExitStack() as undo:
                undo.callback(dispatcher.remove, name)
                dispatcher.add(name, record.plugin, record.ctx)
                self.registry.add(name, declared_by(dispatcher, name))
                undo.pop_all()
            record.state = PluginState.REGISTERED

        for level in self._order():
            for record in level:
                if not self._blocked(record):
                    self._guarded(record, "register", register)

    def refuse(self, reasons: Mapping[str, str], phase: str = "register") -> None:
        """Take registered plugins out again whose declarations cannot work, and whatever requires them."""
        for name, reason in reasons.items():
            self._give_up(self.records[name], phase, reason)
        for record in (record for level in self._levels for record in level):
            if self._blocked(record):
                self._withdraw(record)

    def _order(self) -> list[list[PluginRecord]]:
        alive = {r.name: r for r in self.records.values() if r.alive}
        needs = {n: r.plugin.manifest for n, r in alive.items() if r.plugin}
        before = {n: {d for d in (*m.requires, *m.after) if d in alive} for n, m in needs.items()}
        sorter = TopologicalSorter(before)
        try:
            sorter.prepare()
        except CycleError as error:
            circle = list(dict.fromkeys(error.args[1]))
            reason = f"it is part of a circle of requires/after: {' → '.join(circle)}"
            for name in circle:
                self._give_up(alive[name], "order", reason)
            return self._order()
        while sorter.is_active():
            ready = sorted(sorter.get_ready())
            self._levels.append([alive[name] for name in ready])
            sorter.done(*ready)
        return self._levels

    def _blocked(self, record: PluginRecord) -> bool:
        needs = record.plugin.manifest.requires if record.plugin else ()
        states = {n: self.records[n].state if n in self.records else "not installed" for n in needs}
        missing = [f"{n} ({state})" for n, state in states.items() if state not in ALIVE]
        if missing and record.alive:
            self._give_up(record, "order", f"it requires {', '.join(missing)}", PluginState.BLOCKED)
        return not record.alive

    def _guarded(self, record: PluginRecord, phase: str, work: Callable[[PluginRecord], None]) -> None:
        start = time.perf_counter()
        record.phase = phase
        self._note(f"{phase} of plugin {record.name!r}")
        watched = self._watchdog.over(lambda: record.name, BLOCK_LIMIT_S)
        with contained(kinds=BaseException) as failed, watched:  # a stranger's code may not end the start
            work(record)
        record.timings[phase] = (time.perf_counter() - start) * 1000
        if failed.error:
            self._give_up(record, phase, reason_of(failed.error))

    def _give_up(
        self, record: PluginRecord, phase: str, reason: str, state: PluginState = PluginState.FAILED
    ) -> None:
        record.fail(phase, reason, state)
        self.registry.remove(record.name)
        event = "plugin_blocked" if state is PluginState.BLOCKED else "plugin_failed"
        log.error(event, plugin=record.name, phase=phase, reason=record.error)
        required = record.plugin is not None and record.plugin.manifest.required
        if self._settings.on_failure.get(record.name, "fail" if required else "continue") == "fail":
            raise PluginStartError(f"plugin {record.name!r} failed in {phase}: {reason}")

    async def start_all(self, prepare: Callable[[str], Awaitable[object]]) -> None:
        """Run `prepare(name)` and enter `lifespan`, level by level; a failed plugin leaves every registry."""
        limit_s = BLOCK_LIMIT_S + self._settings.start_deadline_s
        for level in self._levels:
            starting = [record for record in level if not self._blocked(record)]
            self._note(f"start of {', '.join(f'plugin {record.name!r}' for record in starting)}")
            with self._watchdog.over(partial(_running_plugin, asyncio.get_running_loop()), limit_s):
                errors = await asyncio.gather(*(self._start(r, prepare) for r in starting))
            for record, error in zip(starting, errors, strict=True):
                if error is not None:
                    record.fail(record.phase, error)
            for record in level:
                if record.state in BROKEN:
                    self._withdraw(record)
            for record, error in zip(starting, errors, strict=True):
                if error is not None:
                    self._give_up(record, record.phase, error)

    async def _start(self, record: PluginRecord, prepare: Callable[[str], Awaitable[object]]) -> str | None:
        """Return why it failed; all tries of the policy `retry` share one deadline."""
        start, settings = time.perf_counter(), self._settings
        error: str | None = None
        for attempt in range(RETRIES if settings.on_failure.get(record.name) == "retry" else 1):
            left_s = settings.start_deadline_s - (time.perf_counter() - start) - attempt * RETRY_PAUSE_S
            if attempt and left_s <= 0:
                break
            await asyncio.sleep(attempt * RETRY_PAUSE_S)
            runner = PluginRunner(record, self._dispatcher.implementations("lifespan"), prepare)
            self._runners[record.name] = runner
            error = await runner.start(warn_s=settings.warn_s, deadline_s=left_s)
            if error is None:
                record.state = PluginState.READY
                break
            del self._runners[record.name]
        record.timings["start"] = (time.perf_counter() - start) * 1000
        return error

    async def drop(self, name: str, phase: str, reason: str) -> None:
        """Stop a plugin that runs and cannot be used after all."""
        record = self.records[name]
        if runner := self._runners.pop(name, None):
            await runner.stop(self._settings.start_deadline_s)
        self._withdraw(record)
        self._give_up(record, phase, reason)

    def _withdraw(self, record: PluginRecord) -> None:
        self.registry.remove(record.name)
        self._dispatcher.remove(record.name)
        if record.ctx:
            record.ctx.withdraw()

    async def stop_all(self, deadline_s: float) -> None:
        """Leave every `lifespan` in reverse order, each with its deadline; who has stopped is asked no more."""
        for level in reversed(self._levels):
            stopping = [r for r in level if r.name in self._runners]
            await asyncio.gather(*(self._stop(r, deadline_s) for r in stopping))

    async def _stop(self, record: PluginRecord, deadline_s: float) -> None:
        self._dispatcher.remove(record.name)
        if error := await self._runners.pop(record.name).stop(deadline_s):
            log.error("plugin_stop_failed", plugin=record.name, reason=error)
        record.state = PluginState.STOPPED


class PluginStartError(Exception):
    """A plugin whose policy is `fail` did; the start ends."""


def _running_plugin(loop: asyncio.AbstractEventLoop) -> str:
    task = asyncio.current_task(loop)
    return task.get_name().removeprefix("plugin:") if task else "unknown"


class _Watchdog:
    """Ends the process when a block takes too long; one thread for all blocks, gone soon after the last one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watching = False
        self._block: tuple[float, float, Callable[[], str]] | None = None

    @contextmanager
    def over(self, who: Callable[[], str], limit_s: float) -> Iterator[None]:
        with self._lock:
            self._block = (time.monotonic() + limit_s, limit_s, who)
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="start-watchdog", daemon=True).start()
        try:
            yield
        finally:
            self._block = None

    def _watch(self) -> None:
        while True:
            time.sleep(WATCH_S)
            with self._lock:
                block = self._block
                if block is None:
                    self._watching = False
                    return
            if time.monotonic() > block[0]:
                _end_blocked(block[2](), block[1])


def _end_blocked(name: str, limit_s: float) -> None:
    sys.stderr.write(
        f"studio: plugin {name!r} has blocked the start for {limit_s:g} s and cannot be interrupted.\n"
        f"Switch it off: STUDIO_PLUGINS__DISABLED={name}\n"
    )
    sys.stderr.flush()
    os._exit(EX_SOFTWARE)
