"""Commands that look and change nothing: check, plugins, routes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from studio.app import Studio

WIDE = 500
"""More columns than any of our tables needs."""
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
plugins = typer.Typer(
    name="plugins", help="What is installed, what is on, and what failed.", no_args_is_help=True
)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this room."""
    app.command(name="check")(check)
    app.command(name="routes")(routes)
    app.add_typer(plugins)


def platform() -> Studio:
    """Build what the next start would be, without starting it: what crashed three starts is not imported again."""
    from studio.app import Studio  # noqa: PLC0415 - imports the whole platform
    from studio.cli.recovery import Starts  # noqa: PLC0415 - as above

    return Studio(recovery=Starts.configured().recovery())


def warnings_of(studio: Studio) -> Iterator[str]:
    """Yield what looks odd in the configuration: first why nothing runs, where that is so."""
    environment, folder = studio.settings.environment, configuration_folder()
    if environment not in ("development", "test"):
        if not studio.settings.plugins.enabled:
            yield f"plugins.enabled [STUDIO_PLUGINS__ENABLED]: names nothing, so in {environment} no plugin runs"
        if not folder.is_dir():
            yield f"{folder} is no folder: no file of the configuration is read (STUDIO_CONFIG_DIR names another)"
    yield from studio.loaded.warnings


def configuration_folder() -> Path:
    """Return the whole path of where the configuration's files are looked for."""
    from studio.config_reader import folder_of  # noqa: PLC0415 - a command that needs no server imports none of this

    return folder_of(os.environ).absolute()


def print_table(table: Table) -> None:
    """Write a table for people; into a pipe or a file it is as wide as it needs, for there nothing may be cut."""
    whole = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    Console(width=WIDE if whole else None).print(table)


def print_json(value: object) -> None:
    """Write JSON for programs."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


def check() -> None:
    """Check configuration and plugins without starting; exit 78 on wrong settings, 1 on a broken plugin."""
    from studio.app import Studio  # noqa: PLC0415 - imports the whole platform

    studio = Studio()
    for warning in warnings_of(studio):
        sys.stdout.write(f"warning: {warning}\n")
    broken = [r for r in studio.loader.records.values() if r.state in ("failed", "blocked")]
    for record in broken:
        sys.stdout.write(f"plugin {record.name}: {record.state} in {record.phase}: {record.error}\n")
    unusable = _unusable_models(studio)
    sys.stdout.writelines(f"{line}\n" for line in unusable)
    _check_addresses(studio)
    if broken or unusable:
        raise SystemExit(1)
    sys.stdout.write(
        f"ok: {len(studio.registry.plugins) - 1} plugins, environment {studio.settings.environment}\n"
    )


def _check_addresses(studio: Studio) -> None:
    """Do what a start does with the servers' addresses before it connects; raises ConfigError."""
    from studio.cache import Cache  # noqa: PLC0415 - a command that needs no server imports none of this
    from studio.database import connect  # noqa: PLC0415 - as above
    from studio.errors import ConfigError  # noqa: PLC0415 - as above

    settings, problems = studio.settings, list[str]()
    try:
        if settings.database.url or not studio.dispatcher.backend("database_backend"):
            connect(settings.database)
    except ConfigError as error:
        problems += error.problems
    try:
        if settings.cache.url:
            Cache(settings.cache.url.get_secret_value())
        else:
            studio.dispatcher.backend("cache_backend")
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


def _unusable_models(studio: Studio) -> list[str]:
    """Build what every route takes and gives, which a start leaves to the first request; return what is wrong."""
    from studio.boundary import contained  # noqa: PLC0415 - a command that needs no plugin imports none of this
    from studio.plugins.state import reason_of  # noqa: PLC0415 - as above
    from studio.web.plan import plan_of  # noqa: PLC0415 - as above

    wrong = list[str]()
    for owner, route in studio.registry.all("routes"):
        plan = plan_of(owner, route)
        with contained() as failed:  # pydantic lets out whatever a stranger's annotations raise
            for build in (
                plan.body and plan.body.rebuild,
                plan.query and plan.query.model_rebuild,
                plan.returns and plan.returns.model_rebuild,
            ):
                if build:
                    build()
        if failed.error:
            wrong.append(f"plugin {owner}: {route.method} {route.path}: {reason_of(failed.error)}")
    return wrong


@plugins.command(name="list")
def list_plugins(*, as_json: JsonOption = False) -> None:
    """List every installed plugin with its state."""
    studio = platform()
    found = [record.describe() for record in studio.loader.records.values()]
    if as_json:
        print_json(found)
        return
    table = Table("plugin", "state", "version", "distribution", "import ms", "register ms")
    for item in found:
        times = item["timingsMs"]
        cells = [item[key] or "" for key in ("name", "state", "version", "distribution")]
        cells += [times.get(phase, "") for phase in ("import", "register")]
        table.add_row(*(escape(str(cell)) for cell in cells))
    print_table(table)
    if studio.recovery:
        sys.stdout.write(f"{studio.recovery}\n")
    for item in found:
        if item["error"]:
            sys.stdout.write(f"{item['name']}: {item['state']} in {item['phase']}: {item['error']}\n")


@plugins.command(name="show")
def show_plugin(name: str, *, as_json: JsonOption = False) -> None:
    """Show one plugin: where it comes from, what it declares, why it is off."""
    from studio.plugins.registry import KEYS  # noqa: PLC0415 - imports the whole platform

    studio = platform()
    record = studio.loader.records.get(name)
    if record is None:
        sys.stderr.write(
            f"studio: no plugin {name!r} is installed; known: {', '.join(studio.loader.records)}\n"
        )
        raise SystemExit(1)
    declared = studio.registry.plugins.get(name)
    kinds = (
        {kind: [key(item) for item in getattr(declared, kind)] for kind, key in KEYS.items()}
        if declared
        else {}
    )
    found = record.describe() | {kind: keys for kind, keys in kinds.items() if keys}
    if as_json:
        print_json(found)
        return
    for key, value in found.items():
        text = "\n".join(value) if isinstance(value, list) else value
        sys.stdout.write(f"{key:14} {str(text).replace(chr(10), chr(10) + ' ' * 15)}\n")


def routes() -> None:
    """List every route with its plugin and permission."""
    table = Table("method", "path", "permission", "plugin")
    for owner, route in platform().registry.all("routes"):
        table.add_row(*map(escape, (route.method, route.path, route.permission, owner)))
    print_table(table)
