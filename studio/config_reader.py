"""Reads `config/default.toml`, `config/<environment>.toml`, `.env.local` and the environment.

Every error of the kernel and of every plugin is told at once, and never with a value: values may be secrets.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from dotenv import dotenv_values
from pydantic import BaseModel, Field, SecretStr, ValidationError, create_model
from pydantic_settings import EnvSettingsSource

from studio.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Environment = Literal["development", "test", "preview", "production"]
PREFIX = "STUDIO_"
_SHORT = {"MONGODB_URL": "STUDIO_DATABASE__URL", "REDIS_URL": "STUDIO_CACHE__URL"}
_SWITCHES = {"STUDIO_ENV", "STUDIO_CONFIG_DIR", "STUDIO_TRACE_HOOKS"}
_A_LETTER = 3
"""What is no longer than this may be a part of any message's words, and is no secret."""
_PLACE = re.compile(r"(\.\d+)+$")
_PLACEHOLDER = re.compile(r"(?i)(change|your|replace|example|todo|xxx|<).*|secret|password|test|dev")


class _Environ(EnvSettingsSource):
    def __init__(self, model: Any, environ: Mapping[str, str]) -> None:
        super().__init__(model, env_prefix=PREFIX, env_nested_delimiter="__")
        self.env_vars = {name.lower(): value for name, value in environ.items()}

    def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
        if str(value).lstrip()[:1] in ("[", "{"):
            try:
                return super().decode_complex_value(field_name, field, value)
            except ValueError:
                return value  # validation names the key
        return [part.strip() for part in str(value).split(",") if part.strip()]


def folder_of(environ: Mapping[str, str]) -> Path:
    """Return where the configuration's files are looked for."""
    return Path(environ.get("STUDIO_CONFIG_DIR") or "config")


class Reader:
    """One reading of all sources: what is wrong and what is odd is collected, and told together."""

    def __init__(
        self,
        kernel: type[BaseModel],
        plugins: dict[str, type[BaseModel]],
        environ: Mapping[str, str] | None,
    ) -> None:
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self.plugins = plugins
        environ = os.environ if environ is None else environ
        self.directory = folder_of(environ)
        self.environment = self._environment(environ.get("STUDIO_ENV") or "development")
        fields: dict[str, Any] = {
            name: (spec.annotation, spec)
            for name, spec in kernel.model_fields.items()
            if name != "environment"
        }
        for name, model in plugins.items():
            fields[name] = (model, Field(default_factory=dict, validate_default=True))
        self.model: type[BaseModel] = create_model("Configuration", **fields)
        self.leaves = dict(_leaves(self.model))
        self.files = {name: self._toml(name) for name in ("default.toml", f"{self.environment}.toml")}
        self.environ = self._variables(environ)

    def merged(self) -> dict[str, Any]:
        """Return all sources, the later ones over the earlier ones."""
        data: dict[str, Any] = {}
        for layer in (*self.files.values(), _Environ(self.model, self.environ)()):
            _overlay(data, layer)
        return data

    def load(self) -> dict[str, Any]:
        """Return each section's checked model; raises ConfigError with all problems."""
        for name, layer in self.files.items():
            self._check_keys(name, layer)
        try:
            checked = self.model.model_validate(self.merged(), context={"environment": self.environment})
        except ValidationError as error:
            lines = map(self._line, error.errors(include_url=False))
            raise ConfigError([*self.problems, *filter(None, lines), *self._odd()]) from None
        if self.environment == "production":
            self.problems += [
                f"{_names(path)}: holds a placeholder; production needs the real value"
                for path, value in secrets_in(checked)
                if _PLACEHOLDER.fullmatch(value)
            ]
        if self.problems:
            raise ConfigError([*self.problems, *self._odd()])
        return dict(checked)

    def _odd(self) -> list[str]:
        """Return the warnings for beside an error: a key that is missing may be one that is misspelt."""
        return [f"warning: {warning}" for warning in self.warnings]

    def _environment(self, name: str) -> Environment:
        known: tuple[Environment, ...] = get_args(Environment)
        if name not in known:
            self.problems.append(
                f"STUDIO_ENV: {name!r} is no environment; expected one of {', '.join(known)}"
            )
        return next((environment for environment in known if environment == name), "development")

    def _toml(self, name: str) -> dict[str, Any]:
        path = self.directory / name
        try:
            return tomllib.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            self.problems.append(f"{path}: cannot be read: {' '.join(str(error).split())}")
            return {}

    def _variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the STUDIO_ variables that name a key, short names made long; warn of the others."""
        local = self.directory / ".env.local"
        found: dict[str, str] = {}
        if self.environment == "development" and local.is_file():
            found = {name: value for name, value in dotenv_values(local).items() if value is not None}
        found |= environ
        for short, long in (_SHORT | dict(_short_names(self.plugins))).items():
            if found.get(short):
                found.setdefault(long, found[short])
        chosen = {}
        for name in (name for name in found if name.startswith(PREFIX) and name not in _SWITCHES):
            path = name.removeprefix(PREFIX).lower().replace("__", ".")
            if self._known(path):
                chosen[name] = found[name] or _empty(self.leaves.get(path))
            else:
                self.warnings.append(f"{name}: no such setting{self._near(path, variable=True)}")
        return chosen

    def _known(self, path: str) -> bool:
        return any(
            path == leaf
            or leaf.startswith(f"{path}.")
            or (_empty(kind) == "{}" and path.startswith(f"{leaf}."))
            for leaf, kind in self.leaves.items()
        )

    def _near(self, path: str, *, variable: bool = False) -> str:
        match = difflib.get_close_matches(path, self.leaves, n=1)
        if not match:
            return ""
        return f"; did you mean {_variable(match[0]) if variable else match[0]}?"

    def _check_keys(self, name: str, layer: dict[str, Any]) -> None:
        for section, value in layer.items():
            if isinstance(value, dict) and section not in self.model.model_fields:
                near = difflib.get_close_matches(section, self.model.model_fields, n=1)
                hint = f"; did you mean [{near[0]}]?" if near else ""
                self.warnings.append(f"{name}: [{section}] belongs to no plugin that is on{hint}")
                continue
            for path in _flat({section: value}):
                if not self._known(path):
                    self.problems.append(f"{path} in {name}: no such setting{self._near(path)}")

    def _line(self, error: Mapping[str, Any]) -> str:
        """Say one thing that is wrong: where, who asks, what was expected, where the value came from."""
        path = ".".join(part for part in map(str, error["loc"]) if "[" not in part)  # no marks of pydantic's
        if error["type"] == "extra_forbidden":
            return ""  # _check_keys has told, with a suggestion
        message = str(error["msg"])
        value = error.get("input")
        if isinstance(value, str) and error["type"] != "string_pattern_mismatch":  # a pattern may hold a "*"
            message = message.replace(repr(value), "the value")
            message = message.replace(value, "the value") if len(value) > _A_LETTER else message
        section = str(error["loc"][0])
        owner = f", plugin {section}" if section in self.plugins else ""
        if error["type"] == "missing":
            return f"{_names(path)}{owner}: is missing; set it"
        return f"{_names(path)}{owner}: {message} (got {type(value).__name__} from {self._origin(path)})"

    def _origin(self, path: str) -> str:
        if any(_variable(path).startswith(name) for name in self.environ):
            return "the environment"
        named = [name for name, layer in self.files.items() if path in _flat(layer)]
        return named[-1] if named else "the configuration"


def _variable(path: str) -> str:
    return PREFIX + path.upper().replace(".", "__")


def _names(path: str) -> str:
    return f"{path} [{_variable(_PLACE.sub('', path))}]"


def _overlay(base: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, dict):
            base[key] = base[key] if isinstance(base.get(key), dict) else {}
            _overlay(base[key], value)
        else:
            base[key] = value


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in data.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (list, dict, tuple):
        return None
    return next((found for part in get_args(annotation) if (found := _model_of(part))), None)


def _empty(annotation: Any) -> str:
    """Return what an empty variable stands for: an empty list, an empty table (both JSON), or no text."""
    if found := {list: "[]", tuple: "[]", dict: "{}"}.get(get_origin(annotation)):
        return found
    return next(filter(None, map(_empty, get_args(annotation))), "")


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every key and its type."""
    for name, spec in model.model_fields.items():
        if nested := _model_of(spec.annotation):
            yield from _leaves(nested, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", spec.annotation


def _short_names(plugins: Mapping[str, type[BaseModel]]) -> Iterator[tuple[str, str]]:
    for plugin, model in plugins.items():
        for name, spec in model.model_fields.items():
            if isinstance(spec.json_schema_extra, dict) and (short := spec.json_schema_extra.get("env")):
                yield str(short), _variable(f"{plugin}.{name}")


def secrets_in(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted key, secret) for every secret that is set in a model, however deep."""
    if isinstance(value, SecretStr):
        if value.get_secret_value():
            yield path, value.get_secret_value()
    elif isinstance(value, (BaseModel, dict)):
        for name, below in dict(value).items():
            yield from secrets_in(below, f"{path}.{name}" if path else str(name))
    elif isinstance(value, (list, tuple)):
        for below in value:
            yield from secrets_in(below, path)
