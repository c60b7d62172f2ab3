"""SecantusDB, a MongoDB-compatible server over WiredTiger, as a child process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from studio_embedded import programs
from studio_embedded.errors import EmbeddedServerError, WrongCredentialsError
from studio_embedded.ports import HOST, choose_port
from studio_embedded.servers import EmbeddedServer, log

if TYPE_CHECKING:
    from pathlib import Path

    from pymongo.asynchronous.database import AsyncDatabase

    from studio_embedded.process import Child

_PING_TIMEOUT_MS = 2000
_AUTHENTICATION_FAILED, _USER_EXISTS = 18, 51003


class EmbeddedDatabase(EmbeddedServer):
    """The embedded database. `cache_size` is WiredTiger's cache, such as "256M".

    `durable` flushes the journal at every commit. Without it a kill -9 of SecantusDB 0.7.0b3 lost the last 20
    of 20 acknowledged writes; with it none, at 0.1 to 0.9 ms each.
    """

    name: ClassVar[str] = "database"
    title: ClassVar[str] = "The embedded database"
    subfolder: ClassVar[str] = "mongo"
    programs: ClassVar[tuple[str, ...]] = ("secantus",)

    def __init__(
        self, data_dir: Path, *, cache_size: str = "256M", durable: bool = True, **deadlines: float
    ) -> None:
        super().__init__(data_dir, **deadlines)
        self.cache_size = cache_size
        self.durable = durable

    @property
    def url(self) -> str:
        """The MongoDB URL; `directConnection` spares the driver a search for other members."""
        user, password = quote(self._credentials["user"]), quote(self._credentials["password"])
        return f"mongodb://{user}:{password}@{HOST}:{self._port}/?authSource=admin&directConnection=true"

    def locate(self) -> list[str]:
        """Return SecantusDB's command."""
        return programs.database_command()

    def config_path(self) -> Path:
        """Return `.studio/secantusd.toml`."""
        return self.folder.path / "secantusd.toml"

    def configure(self, port: int) -> list[str]:
        """Write the configuration; source of its keys: SecantusDB 0.7.0b3, `secantus.config`."""
        values = {"host": HOST, "port": port, "storage_path": str(self.folder.path / self.subfolder)}
        server = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
        sync = json.dumps(self.durable)
        storage = [f"cache_size = {json.dumps(self.cache_size)}", f"sync_on_commit = {sync}"]
        text = "\n".join(["[server]", *server, "[storage]", *storage, ""])
        self.folder.write_private(self.config_path().name, text)
        return ["--config", str(self.config_path()), "--host", HOST, *self._authentication()]

    def _authentication(self) -> list[str]:
        return ["--auth"] if self._credentials.get("provisioned") else []

    async def ping(self) -> None:
        """Log in, as the driver does for every connection, and ping."""
        try:
            async with self._client() as client:
                await client.admin.command("ping")
        except OperationFailure as error:
            kind = WrongCredentialsError if error.code == _AUTHENTICATION_FAILED else EmbeddedServerError
            raise kind(f"{self.title}: {error}") from error
        except PyMongoError as error:
            raise EmbeddedServerError(f"{self.title} does not answer: {error}") from error

    def _client(self) -> AsyncMongoClient[dict[str, Any]]:
        url = self.url if self._credentials.get("provisioned") else f"mongodb://{HOST}:{self._port}/"
        return AsyncMongoClient(url, timeoutMS=_PING_TIMEOUT_MS, directConnection=True)

    async def _is_healthy(self, child: Child, port: int) -> bool:
        # An orphan from the middle of a first start runs without login: it is ended, never adopted.
        return bool(self._credentials.get("provisioned")) and await super()._is_healthy(child, port)

    async def _launch(self) -> None:
        if not self._credentials.get("provisioned"):
            return await self._provision()
        try:
            return await super()._launch()
        except WrongCredentialsError:
            log.warning("embedded_credentials_renewed", server=self.name)
            await self._end()
        self._set_provisioned(done=False)
        return await self._provision()

    async def _provision(self) -> None:
        """Make our user on a server without login, on a port that nobody knows, then start it with login.

        Whoever else on this machine found that port in its second may have left a user: it is dropped.
        """
        await self._run(choose_port(None))
        async with self._client() as client:
            await _set_user(client.admin, self._credentials)
        await self._end()
        self._set_provisioned(done=True)
        await super()._launch()
        async with self._client() as client:
            await _drop_other_users(client, self._credentials["user"])

    def _set_provisioned(self, *, done: bool) -> None:
        self._credentials = self._credentials | {"provisioned": done}
        self.folder.write_credentials(self.name, self._credentials)


async def _set_user(admin: AsyncDatabase[dict[str, Any]], credentials: dict[str, Any]) -> None:
    login = {"pwd": credentials["password"], "roles": ["root"]}
    try:
        await admin.command("createUser", credentials["user"], **login)
    except OperationFailure as error:
        if error.code != _USER_EXISTS:
            raise
        await admin.command("updateUser", credentials["user"], **login)


async def _drop_other_users(client: AsyncMongoClient[dict[str, Any]], ours: str) -> None:
    for user in await client.admin["system.users"].find().to_list():
        if (user["db"], user["user"]) != ("admin", ours):
            log.warning("embedded_unknown_user_dropped", user=user["user"], database=user["db"])
            await client[user["db"]].command("dropUser", user["user"])
