"""The `studio` command. Plugins add their own groups by `register_commands`."""

from __future__ import annotations

import os
import sys

import typer

from studio.cli import inspect, jobs, new_plugin, provider, run
from studio.errors import ConfigError
from studio.plugins.loader import PluginStartError

EX_CONFIG = 78

app = typer.Typer(
    name="studio",
    help="The backend of a generative film studio.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
run.add_to(app)
inspect.add_to(app)
app.command(name="new-plugin")(new_plugin.new_plugin)
app.add_typer(jobs.group)
app.add_typer(provider.group)


def main() -> None:
    """Run the command line; a wrong configuration ends with exit code 78 and every problem named."""
    try:
        _refuse_a_missing_folder()
        _add_plugin_commands(sys.argv[1:])
        app()
    except ConfigError as error:
        _fail("The configuration has errors:", error.problems, EX_CONFIG)
    except PluginStartError as error:
        _fail("Studio did not start:", [str(error)], 1)


def _refuse_a_missing_folder() -> None:
    """Refuse a folder that was named and is not there: outside development the platform would be empty, and ready."""
    strict = os.environ.get("STUDIO_ENV", "") in ("preview", "production")
    if strict and os.environ.get("STUDIO_CONFIG_DIR") and not inspect.configuration_folder().is_dir():
        raise ConfigError([f"STUDIO_CONFIG_DIR: {inspect.configuration_folder()} is no folder"])


def _fail(title: str, lines: list[str], code: int) -> None:
    sys.stderr.write(title + "\n" + "".join(f"  - {line}\n" for line in lines))
    raise SystemExit(code)


def _add_plugin_commands(arguments: list[str]) -> None:
    """Load the plugins' commands only when the kernel does not know the word: `studio serve` pays nothing."""
    known = {command.name for command in app.registered_commands}
    known |= {group.typer_instance.info.name for group in app.registered_groups if group.typer_instance}
    word = next((a for a in arguments if not a.startswith("-")), None)
    if word in known or (word is None and "--help" not in arguments):
        return
    for plugin, group in inspect.platform().registry.all("commands"):
        if isinstance(name := group.info.name, str) and name not in known:
            app.add_typer(group)
        else:
            told = repr(name) if isinstance(name, str) else "none"
            sys.stderr.write(
                f"studio: plugin {plugin}: its typer.Typer needs a name that is free, not {told}\n"
            )
