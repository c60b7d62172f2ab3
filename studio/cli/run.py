"""Commands that run something: serve, worker, demo."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Annotated

import typer

PortOption = Annotated[int | None, typer.Option(help="Listen here instead of the configured port.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this room."""
    app.command(name="serve")(serve_)
    app.command(name="worker")(worker)
    app.command(name="demo")(demo)


def serve_(
    host: Annotated[str | None, typer.Option(help="Listen on this address.")] = None,
    port: PortOption = None,
) -> None:
    """Start the server; SIGTERM or Ctrl-C ends it."""
    gc.disable()  # next to nothing of what a start makes is garbage; `run` collects again once it is ready
    from studio.cli.process import run_server  # noqa: PLC0415 - imports the whole platform

    for name, value in (("STUDIO_SERVER__HOST", host), ("STUDIO_SERVER__PORT", port)):
        if value is not None:
            os.environ[name] = str(value)
    run_server()


def worker(
    concurrency: Annotated[
        int | None, typer.Option(help="Steps at a time, instead of jobs.concurrency.")
    ] = None,
) -> None:
    """Work on jobs, without HTTP, beside `studio serve` and other workers; SIGTERM or Ctrl-C ends it."""
    from studio.cli.process import run_worker  # noqa: PLC0415 - imports the whole platform

    run_worker(concurrency)


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
    from studio.cli.process import run_loop  # noqa: PLC0415 - as above

    raise SystemExit(run_loop(run_demo(story, out, scenes, url)))
