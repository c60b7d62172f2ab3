"""`studio openapi`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import orjson
import typer

if TYPE_CHECKING:
    from studio_openapi.service import OpenApi


def build_command(openapi: OpenApi) -> typer.Typer:
    """Return the command. It starts nothing: the routes are known once every plugin has registered."""
    command = typer.Typer(name="openapi", invoke_without_command=True)

    @command.callback()
    def show() -> None:
        """Print the OpenAPI 3.1 document."""
        text = orjson.dumps(openapi.document(), option=orjson.OPT_INDENT_2).decode()
        sys.stdout.write(text + "\n")

    return command
