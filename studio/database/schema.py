"""Declared collections and their migrations, the same for every backend."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from studio.database.contract import Collection
from studio.errors import ConflictError, PluginError
from studio.model import new_id, now_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from studio.database.contract import Migration, Repository

PLUGIN_STATE = Collection("plugin_state")
LEASE_S = 15.0
"""A migration whose process stood still for so long is taken over."""
POLL_S = 0.1


class DeclaredDatabase:
    """Owns which collections exist; a backend says how one is opened."""

    def __init__(self) -> None:
        self._declared: dict[str, tuple[str, Collection]] = {}
        self._repositories: dict[str, Repository] = {}
        self.declare([("studio", PLUGIN_STATE)])

    def _open(self, collection: Collection) -> Repository:
        raise NotImplementedError

    async def ping(self) -> None:
        """Return when the server answers; raises DatabaseUnavailableError."""
        raise NotImplementedError

    async def ensure(self, owner: str | None = None) -> None:
        """Create what `owner` (None: everybody) has declared and is missing; PluginError when that cannot be."""
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of the server."""
        raise NotImplementedError

    def declare(self, collections: Iterable[tuple[str, Collection]]) -> None:
        """Take in (owner, collection) pairs, all or none; raises PluginError naming both owners."""
        declared = dict(self._declared)
        for owner, collection in collections:
            first = declared.setdefault(collection.name, (owner, collection))
            if first != (owner, collection):
                name = collection.name
                raise PluginError(f"collection {name!r} is declared by {first[0]!r} and again by {owner!r}")
        for name in declared.keys() - self._declared.keys():
            self._repositories[name] = self._open(declared[name][1])
        self._declared = declared

    def __getitem__(self, name: str) -> Repository:
        """Return the repository of a declared collection; KeyError says how to declare it."""
        try:
            return self._repositories[name]
        except KeyError:
            fix = f"return Collection({name!r}) from your plugin's register_collections"
            raise KeyError(f"collection {name!r} is not declared: {fix}") from None

    async def migrate(self, plugin: str, migrations: Sequence[Migration]) -> list[int]:
        """Apply what is new, in order, one process at a time; returns the versions that were applied.

        Forward only: raises PluginError when the recorded version is newer than the newest migration. When a
        step fails, the ones before it stay recorded, and the next start goes on there.
        """
        steps = sorted(migrations, key=lambda step: step.version)
        versions = [step.version for step in steps]
        if len(set(versions)) < len(versions) or any(version < 1 for version in versions):
            raise PluginError(f"{plugin}: migration versions must be unique and count from 1, not {versions}")
        if await self._version(plugin, versions) == max(versions, default=0):
            return []
        async with self._lease(plugin) as token:
            done = await self._version(plugin, versions)
            pending = [step for step in steps if step.version > done]
            for step in pending:
                await step.apply(self)
                await self._record(plugin, step.version, token)
        return [step.version for step in pending]

    async def _version(self, plugin: str, known: Sequence[int]) -> int:
        state = await self["plugin_state"].get(plugin) or {}
        version = int(state.get("schema_version", 0))
        if version > max(known, default=0):
            raise PluginError(
                f"{plugin}: its data is at version {version}, this release knows {max(known, default=0)}: "
                "install the release that wrote it (or a newer one), there is no way back"
            )
        return version

    async def _record(self, plugin: str, version: int, token: str) -> None:
        fields = {"schema_version": version, "migrated_at": now_ms()}
        mine = {"_id": plugin, "lease.token": token}
        if not await self["plugin_state"].update(mine, {"$set": fields}):
            raise PluginError(f"{plugin}: another process took over while migration {version} stood still")

    @contextlib.asynccontextmanager
    async def _lease(self, plugin: str) -> AsyncIterator[str]:
        """Hold the plugin's lease. Liveness is a changing beat, so that no two clocks are ever compared."""
        state, token = self["plugin_state"], new_id()
        with contextlib.suppress(ConflictError):
            await state.insert({"_id": plugin, "plugin": plugin, "schema_version": 0})
        seen, since = None, time.monotonic()
        while True:
            lease = (await state.get(plugin) or {}).get("lease")
            if lease != seen:
                seen, since = lease, time.monotonic()
            free = lease is None or time.monotonic() - since > LEASE_S
            claim = {"$set": {"lease": {"token": token, "beat": 0}}}
            if free and await state.update({"_id": plugin, "lease": lease}, claim):
                break
            await asyncio.sleep(POLL_S)
        beat = asyncio.create_task(self._beat(plugin, token))
        try:
            yield token
        finally:
            beat.cancel()
            await state.update({"_id": plugin, "lease.token": token}, {"$unset": {"lease": ""}})
            beat.cancel()  # Python 3.11 loses one that falls into the driver; without the lease it ends by itself
            await asyncio.gather(beat, return_exceptions=True)

    async def _beat(self, plugin: str, token: str) -> None:
        mine = {"_id": plugin, "lease.token": token}
        while await self["plugin_state"].update(mine, {"$inc": {"lease.beat": 1}}):  # noqa: ASYNC110 - a pulse
            await asyncio.sleep(LEASE_S / 3)
