"""`studio embedded status | stop | urls`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

from studio_embedded.errors import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from studio_embedded.servers import EmbeddedServer

_VARIABLES = {"database": "STUDIO_DATABASE__URL", "cache": "STUDIO_CACHE__URL"}


def build_commands(servers: Mapping[str, EmbeddedServer]) -> typer.Typer:
    """Return the command group `embedded` over these servers, of which none is started."""
    group = typer.Typer(name="embedded", help="The embedded database and cache.", no_args_is_help=True)

    @group.command()
    def status() -> None:
        """Show what runs, and who owns it."""
        for server in servers.values():
            typer.echo(describe(server))

    @group.command()
    def stop() -> None:
        """Stop servers that a killed process left behind."""
        raise typer.Exit(asyncio.run(stop_all(servers)))

    @group.command()
    def urls() -> None:
        """Print the running servers' URLs, with their passwords, as variables for a shell."""
        for name, server in servers.items():
            try:
                typer.echo(f"{_VARIABLES[name]}={server.attach()}")
            except EmbeddedServerError as error:
                typer.echo(str(error), err=True)
                raise typer.Exit(1) from error

    return group


def describe(server: EmbeddedServer) -> str:
    """Return one line on a server."""
    found = server.status()
    if not found.running:
        return f"{found.name}: stopped, data in {server.folder.path / server.subfolder}"
    left = "left behind; the next start adopts it"
    owner = f"owned by {server.folder.holder(found.name)}" if found.owned else left
    return f"{found.name}: pid {found.pid}, port {found.port}, restarts {found.restarts}, {owner}"


async def stop_all(servers: Mapping[str, EmbeddedServer]) -> int:
    """Stop what nobody owns and say so; return the exit code, 1 when a living process owns one."""
    code = 0
    for name, server in servers.items():
        try:
            stopped = await server.stop_orphan()
            typer.echo(f"{name}: {'stopped' if stopped else 'was not running'}")
        except EmbeddedServerError as error:
            typer.echo(f"{name}: {error}", err=True)
            code = 1
    return code
