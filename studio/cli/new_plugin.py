"""`studio new-plugin`: the files of docs/how-to, under a name of one's own, whose tests pass as they are."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

SCAFFOLD, SUFFIX = "scaffold", ".tmpl"
PRINTED = {"feature": "mood", "provider": "lumen"}
"""What the plugin of each page of docs/how-to is called."""


def new_plugin(
    name: Annotated[str, typer.Argument(help="a-z, 0-9 and _; its section in the configuration too.")],
    into: Annotated[Path, typer.Option(help="Where the folder studio-<name> is made.")] = Path(),
    *,
    provider: Annotated[bool, typer.Option("--provider", help="A provider of images, with a fake.")] = False,
) -> None:
    """Make the distribution of a new plugin: a feature, or a provider, with tests that pass."""
    folder, kind = into / f"studio-{name.replace('_', '-')}", "provider" if provider else "feature"
    _refuse(name, folder)
    for path, text in printed(kind):
        target = folder / renamed(path, PRINTED[kind], name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(renamed(text, PRINTED[kind], name))
    for marker in ("__init__.py", "py.typed"):
        (folder / f"studio_{name}" / marker).touch()
    sys.stdout.write(
        f"{folder} is a {kind}. Go on with:\n"
        f"  cd {folder} && pip install -e '.[test]' && pytest\n"
        f"  studio check && studio plugins show {name}\n"
    )


def _refuse(name: str, folder: Path) -> None:
    """End with 1 and the reason where such a plugin could not be loaded, or would overwrite something."""
    from studio.errors import PluginError  # noqa: PLC0415 - a command that needs no plugin imports none of this
    from studio.plugins.manifest import KERNEL, Manifest, check_manifest  # noqa: PLC0415 - as above
    from studio.plugins.state import discover  # noqa: PLC0415 - as above
    from studio.settings import Settings  # noqa: PLC0415 - as above

    try:
        check_manifest(name, Manifest(name), {KERNEL, *Settings.model_fields})
        if other := discover().get(name):
            raise PluginError(f"{other.describe()['distribution']} offers a plugin {name!r} already")
        if not re.fullmatch("[a-z0-9]+(_[a-z0-9]+)*", name):
            raise PluginError(
                f"{name!r} gives no distribution's name: use single _, between letters or digits"
            )
        with suppress(PackageNotFoundError):
            raise PluginError(f"{distribution(folder.name).name} is a distribution that is installed already")
        if folder.exists():
            raise PluginError(f"{folder} exists already")
    except PluginError as error:
        sys.stderr.write(f"studio: {error}\n")
        raise SystemExit(1) from error


def printed(kind: str) -> Iterator[tuple[str, str]]:
    """Yield (path, text) of the files of a page: `kind` is "feature" or "provider"."""

    def walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
        for entry in folder.iterdir():
            if entry.is_dir():
                yield from walk(entry, f"{prefix}{entry.name}/")
            elif entry.name.endswith(SUFFIX):
                yield prefix + entry.name.removesuffix(SUFFIX), entry.read_text()

    yield from walk(files("studio.cli") / SCAFFOLD / kind, "")


def renamed(text: str, old: str, name: str) -> str:
    """Return `text` with the plugin's name in every way of writing it; hosts and distributions take no `_`."""
    dashed, camel = name.replace("_", "-"), name.title().replace("_", "")
    ways = {
        f"studio-{old}": f"studio-{dashed}",
        f"{old}.example": f"{dashed}.example",
        old.title(): camel,
        old.upper(): name.upper(),
        old: name,
    }
    # At once: a name that has the page's in it ("moods") would be replaced again in what was written already.
    return re.sub("|".join(map(re.escape, ways)), lambda found: ways[found[0]], text)
