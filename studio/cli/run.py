"""Commands that run something: serve, worker, demo."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

PortOption = Annotated[int | None, typer.Option(help="Listen here instead of the configured port.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this room."""
    app.command(name="serve")(serve)
    app.command(name="demo")(demo)


def serve(
    host: Annotated[str | None, typer.Option(help="Listen on this address.")] = None,
    port: PortOption = None,
) -> None:
    """Start the server; SIGTERM or Ctrl-C ends it."""
    from studio.app import Studio  # noqa: PLC0415 - imports the whole platform
    from studio.app import serve as serve_studio  # noqa: PLC0415 - as above

    for name, value in (("STUDIO_SERVER__HOST", host), ("STUDIO_SERVER__PORT", port)):
        if value is not None:
            os.environ[name] = str(value)
    studio = Studio()
    for warning in studio.loaded.warnings:
        sys.stderr.write(f"studio: warning: {warning}\n")
    try:
        _run(serve_studio(studio))
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
            raise
        settings = studio.settings.server
        sys.stderr.write(
            f"studio: cannot listen on {settings.host}:{settings.port}: {error.strerror}.\n"
            f"Stop what uses it, or choose another port: studio serve --port {settings.port + 1}\n"
        )
        raise SystemExit(1) from None


def demo(
    story: Annotated[
        Path | None, typer.Option(help="A Fountain, FDX or text file; the example when left out.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the film goes.")] = Path("out"),
    scenes: Annotated[str, typer.Option(help='Render these scenes only, e.g. "1-3" or "2,5".')] = "",
    url: Annotated[str | None, typer.Option(help="Use a server that runs already.")] = None,
) -> None:
    """Make a film from a story: start the server, then go the whole way as a client."""
    from studio.cli.demo import run_demo  # noqa: PLC0415 - imports the client's libraries

    raise SystemExit(_run(run_demo(story, out, scenes, url)))


def _run(work: Any) -> Any:
    if sys.platform == "win32":
        return asyncio.run(work)
    import uvloop  # noqa: PLC0415 - not on every platform

    return uvloop.run(work)
