"""Valkey (or a Redis 7+ from the PATH) as a child process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError

from studio_embedded import programs
from studio_embedded.errors import EmbeddedServerError, WrongCredentialsError
from studio_embedded.ports import HOST
from studio_embedded.servers import EmbeddedServer

if TYPE_CHECKING:
    from pathlib import Path

_PING_TIMEOUT_S = 0.5


class EmbeddedCache(EmbeddedServer):
    """The embedded cache. Every write is on the disk within a second (AOF)."""

    name: ClassVar[str] = "cache"
    title: ClassVar[str] = "The embedded cache"
    subfolder: ClassVar[str] = "valkey"
    programs: ClassVar[tuple[str, ...]] = ("redis-server", "valkey-server")

    @property
    def url(self) -> str:
        """The Redis URL."""
        return f"redis://:{quote(self._credentials['password'])}@{HOST}:{self._port}/0"

    def locate(self) -> list[str]:
        """Return Valkey's command."""
        return programs.cache_command()

    def config_path(self) -> Path:
        """Return `.studio/valkey.conf`."""
        return self.folder.path / "valkey.conf"

    def configure(self, port: int) -> list[str]:
        """Write the configuration; the password stands only here, never on the command line."""
        lines = (
            f"bind {HOST}",
            f"port {port}",
            f"dir {json.dumps(str(self.folder.path / self.subfolder), ensure_ascii=False)}",
            f"requirepass {self._credentials['password']}",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "daemonize no",
            "set-proc-title no",  # so that a forgotten server is found by the name of this file
        )
        self.folder.write_private(self.config_path().name, "\n".join((*lines, "")))
        return [str(self.config_path())]

    async def ping(self) -> None:
        """Log in and ping."""
        client = Redis.from_url(
            self.url,
            socket_timeout=_PING_TIMEOUT_S,
            socket_connect_timeout=_PING_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            await client.ping()
        except AuthenticationError as error:
            raise WrongCredentialsError(f"{self.title} refuses our password") from error
        except RedisError as error:  # also while it loads its data
            raise EmbeddedServerError(f"{self.title} does not answer: {error}") from error
        finally:
            await client.aclose()
