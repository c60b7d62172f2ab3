"""What a plugin says of itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import BaseModel

from studio.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Container

KERNEL = "studio"
"""The owner's name of what the kernel itself declares."""
API_VERSION = "1.0"
"""Version of the plugin interface; a manifest's `api` must allow it."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A plugin's declaration.

    `requires` names plugins that must be ready first (else this one is blocked), `after` those that
    merely start earlier if present. `provides` names protocols it hands out by `ctx.provide`. `settings` is the model
    of its section in the configuration. A `required` plugin that fails ends the start.
    """

    name: str
    api: str = ">=1,<2"
    requires: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    settings: type[BaseModel] | None = None
    required: bool = False


def check_manifest(name: str, manifest: Manifest, reserved: Container[str]) -> None:
    """Raise PluginError for what would break others later: name, order, settings that cannot be read."""
    if manifest.name != name:
        raise PluginError(f"its manifest says {manifest.name!r}, its entry point {name!r}: use one name")
    if not re.fullmatch("[a-z][a-z0-9_]*", name) or name in reserved:
        raise PluginError(
            f"{name!r} cannot be a plugin's name: use a-z, 0-9, _, and no section of the kernel's"
        )
    try:
        if API_VERSION not in SpecifierSet(manifest.api):
            raise PluginError(f"it needs plugin API {manifest.api}, this is {API_VERSION}")
    except InvalidSpecifier as error:
        raise PluginError(f"its manifest's api {manifest.api!r} is no version range") from error
    if isinstance(manifest.requires, str) or isinstance(manifest.after, str):
        raise PluginError("its manifest's requires and after are tuples of names, not one string")
    if manifest.settings is not None:
        if not (isinstance(manifest.settings, type) and issubclass(manifest.settings, BaseModel)):
            raise PluginError("its manifest's settings must be a pydantic model class")
        manifest.settings.model_rebuild()  # raises where an annotation cannot be resolved
