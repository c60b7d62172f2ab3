"""The four verbs over pluggy: `collect`, `first`, `each`, `notify`; no other module touches its internals.

pluggy can neither await nor isolate; here each implementation gets its own plugin's context, its own deadline
and its own `try`. The table is frozen after registration, so that a call costs one dict look-up.
"""

from __future__ import annotations

import asyncio
import difflib
import inspect
import os
import time
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any

import pluggy

from studio.boundary import EXITS, contained
from studio.errors import PluginError, StudioError, UnavailableError
from studio.hooks import StudioHooks
from studio.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from studio.model import Doc
    from studio.plugins.context import Checkpoint, PluginContext

DECISIONS = {
    "authenticate": "authenticate",
    "authorize": "authorize",
    "hold_cost": "cost",
    "settle_cost": "cost",
}
"""Each decision hook and the key of `[owners]` that names the plugin which answers it."""
BREAKER_FAILURES, BREAKER_WINDOW_S = 3, 60.0
CHAIN_FACTOR = 5
"""A step of a chain may take so many times what a decision or a notification may."""
HOOKS = {name: spec for name, spec in vars(StudioHooks).items() if hasattr(spec, "studio_spec")}
log = get_logger("studio.dispatch")


@dataclass(slots=True)
class Implementation:
    """One plugin's method for one hook, with the breaker of `notify`; call it with the payload, if any."""

    hook: str
    plugin: str
    function: Callable[..., Any]
    ctx: PluginContext
    failures: deque[float] = field(default_factory=lambda: deque(maxlen=BREAKER_FAILURES))
    off: bool = False
    deciding: contained = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.deciding = contained(self.refused)  # a broken owner means no, whatever broke it

    def __call__(self, *payload: Any) -> Any:
        """Call the method with its plugin's context."""
        return self.function(self.ctx, *payload)

    def failed(self, error: Exception) -> None:
        """Count and log a failure; three within 60 s switch this implementation off."""
        now = time.monotonic()
        self.failures.append(now)
        full = len(self.failures) == BREAKER_FAILURES
        self.off = self.off or (full and now - self.failures[0] < BREAKER_WINDOW_S)
        facts = {"hook": self.hook, "plugin": self.plugin, "error": repr(error)}
        log.warning("hook_failed", **facts, switched_off=self.off)

    def refused(self, error: Exception) -> StudioError:
        """Return what a failed decision means: no."""
        if isinstance(error, StudioError):
            return error
        log.error("owner_failed", hook=self.hook, plugin=self.plugin, exc_info=error)
        return UnavailableError(f"The owner of {self.hook} ({self.plugin}) failed.")


class _Traced(Implementation):
    def __call__(self, *payload: Any) -> Any:
        kind = type(payload[0]).__name__ if payload else None
        # a warning, so that it is seen whatever the log level is
        log.warning("hook", hook=self.hook, plugin=self.plugin, payload=kind)
        return self.function(self.ctx, *payload)


class _Manager(pluggy.PluginManager):
    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        """Look at hooks that the plugin overrides only: at every attribute of every plugin it takes 20 ms."""
        method = getattr(type(plugin), name, None)
        return super().parse_hookimpl_opts(plugin, name) if hasattr(method, "studio_impl") else None


class Dispatcher:
    """Holds who implements what. `owners` maps "authenticate", "authorize" and "cost" to plugin names."""

    def __init__(self, owners: Mapping[str, str], *, deadline_s: float = 2.0) -> None:
        self._manager = _Manager("studio")
        self._manager.add_hookspecs(StudioHooks)
        self._owners = owners
        self._deadline_s = deadline_s
        self._table: dict[str, list[Implementation]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._kind = _Traced if os.environ.get("STUDIO_TRACE_HOOKS") == "1" else Implementation

    def add(self, name: str, plugin: StudioHooks, ctx: PluginContext) -> None:
        """Register a plugin; raises PluginError when a method could never be called as its author expects."""
        for hook, spec in HOOKS.items():
            method = getattr(type(plugin), hook)
            if method is not spec and not hasattr(method, "studio_impl"):
                raise PluginError(f"{hook}: put @hookimpl on it, otherwise nobody asks it")
        try:
            self._manager.register(plugin, name)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(str(error).replace("\n", " ")) from error
        for caller in self._manager.get_hookcallers(plugin) or ():
            for impl in caller.get_hookimpls():
                if impl.plugin is plugin:
                    _refuse_useless(caller.name, impl, caller.spec.argnames if caller.spec else ())
                    kept = self._kind(caller.name, name, impl.function, ctx)
                    self._table.setdefault(caller.name, []).append(kept)

    def remove(self, name: str) -> None:
        """Take a failed or stopped plugin out of every hook."""
        if self._manager.has_plugin(name):
            self._manager.unregister(name=name)
        for implementations in self._table.values():
            implementations[:] = [i for i in implementations if i.plugin != name]

    def implementations(self, hook: str) -> list[Implementation]:
        """Return who implements `hook`, in load order."""
        return self._table.get(hook, [])

    def switched_off(self, plugin: str) -> list[str]:
        """Return the notification hooks of `plugin` that failed too often and are asked no more."""
        return sorted(i.hook for found in self._table.values() for i in found if i.plugin == plugin and i.off)

    def ask(self, hook: str, plugin: str) -> Any:
        """Ask one plugin a sync hook, None when it has none; raises PluginError naming hook and reason."""
        for impl in self.implementations(hook):
            if impl.plugin == plugin:
                with contained(partial(_named, hook), EXITS):  # who cannot say what it has is left out
                    return impl()
        return None

    def collect(self, hook: str, plugin: str) -> list[Any]:
        """Ask one plugin a hook that returns many; raises PluginError naming hook and reason."""
        answer, found = self.ask(hook, plugin), list[Any]()
        with contained(partial(_named, hook), EXITS):  # a generator may fail as late as here
            found.extend(answer or ())
        return found

    def backend(self, hook: str) -> Any:
        """Return the first answer to a backend hook, with None for nobody."""
        answers = (impl() for impl in self.implementations(hook))
        return next((answer for answer in answers if answer is not None), None)

    async def first(self, hook: str, payload: Any) -> Any:
        """Ask the owner of a decision; None when it is off or says nothing: that means no, as an error does."""
        owner = self._owners.get(DECISIONS[hook], "")
        for impl in self.implementations(hook):
            if impl.plugin == owner:
                with impl.deciding:
                    return await self._await(impl, payload)
        return None

    async def each(self, hook: str, payload: Doc, done: Container[str] = (), kept: Checkpoint = None) -> Doc:
        """Run a chain in load order; what a step returns joins the payload. A failing step raises.

        Plugins in `done` have run before a restart. `kept` is awaited between two steps, if the first gave something.
        """
        chain = [impl for impl in self.implementations(hook) if impl.plugin not in done]
        for impl in chain:
            found = await self._await(impl, payload, CHAIN_FACTOR)
            if not isinstance(found, dict | None):
                raise PluginError(
                    f"{hook} of {impl.plugin!r} returned a {type(found).__name__}, no dict or None"
                )
            payload |= found or {}
            if found and kept is not None and impl is not chain[-1]:
                await kept(impl.plugin, payload)
        return payload

    def notify(self, hook: str, payload: Any) -> None:
        """Tell everybody, each in its own task with its own deadline and copy; the caller waits for nobody."""
        for impl in self.implementations(hook):
            if not impl.off:
                own = dict(payload) if isinstance(payload, dict) else payload
                task = asyncio.create_task(self._tell(impl, own))
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def drain(self) -> None:
        """Wait until every notification has arrived or failed; one that ignores its deadline is left."""
        while self._running:
            done, _ = await asyncio.wait(self._running, timeout=self._deadline_s + 0.5)
            if not done:
                return

    async def _tell(self, impl: Implementation, payload: Any) -> None:
        with contained(impl.failed):  # a listener's failure is its own; it is counted and named
            await self._await(impl, payload)

    async def _await(self, impl: Implementation, payload: Any, factor: int = 1) -> Any:
        try:
            work = impl(payload)
            if not isinstance(work, CoroutineType):
                if not inspect.isawaitable(work):
                    raise PluginError(f"{impl.hook} of {impl.plugin!r} is not `async def`, and must be")
                async with asyncio.timeout(self._deadline_s * factor):
                    return await work
            try:
                waits_for = work.send(None)
            except StopIteration as done:  # it answered from memory: a timer would have cost more than it did
                return done.value
            async with asyncio.timeout(self._deadline_s * factor):
                return await _Begun(work, waits_for)
        except SystemExit as error:  # left alone it would end the event loop, and the server with it
            raise PluginError(f"{impl.hook} of {impl.plugin!r} called sys.exit({error.code!r})") from error


class _Begun(Generator[Any, Any, Any]):
    """Goes on with a coroutine that was begun by hand, and waits for the future `waits_for`."""

    def __init__(self, work: CoroutineType[Any, Any, Any], waits_for: Any) -> None:
        self._work, self._first = work, [waits_for]

    def __await__(self) -> Generator[Any, Any, Any]:
        return self

    def send(self, value: Any) -> Any:
        return self._first.pop() if self._first else self._work.send(value)

    def throw(self, *error: Any) -> Any:
        return self._work.throw(*error)


def _named(hook: str, error: BaseException) -> PluginError:
    return PluginError(f"{hook}: {type(error).__name__}: {error}")


def _refuse_useless(hook: str, impl: Any, takes: tuple[str, ...]) -> None:
    """Raise PluginError for a name that is no hook, another signature, and `async def` where nobody awaits."""
    if hook not in HOOKS:
        near = difflib.get_close_matches(hook, HOOKS, n=1)
        raise PluginError(f"{hook} is no hook" + (f", did you mean {near[0]}?" if near else ""))
    if (*impl.argnames, *impl.kwargnames) != takes:
        raise PluginError(f"{hook} must take (self, {', '.join(takes)})")
    gives, yields = inspect.get_annotations(HOOKS[hook])["return"], inspect.isasyncgenfunction(impl.function)
    if yields or ("Awaitable" not in gives and inspect.iscoroutinefunction(impl.function)):
        way = (
            "put @asynccontextmanager below @hookimpl" if "ContextManager" in gives else f"it returns {gives}"
        )
        raise PluginError(f"{hook}: must not be `async def`{' and yield' * yields}: {way}")
