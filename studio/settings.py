"""The configuration of the kernel, section by section, and how it is loaded with every plugin's own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio.cache import CacheSettings
from studio.config_reader import Environment, Reader, secrets_in
from studio.database.settings import DatabaseSettings
from studio.jobs.settings import JobsSettings
from studio.web.proxies import Network

OnFailure = Literal["fail", "continue", "retry"]
Origin = Annotated[str, Field(pattern=r"^https?://[^/\s*?#@]+$")]
"""Of a front end; never "*" or "null", with which any site could act for a user who is signed in."""


class Section(BaseModel):
    """One table of the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class ServerSettings(Section):
    """Where the server listens and how it stops."""

    host: str = Field("127.0.0.1", min_length=1)  # an empty one would listen on every address
    port: int = Field(8081, ge=0, le=65535)
    shutdown_s: float = Field(8.0, gt=0)
    public_url: str | None = Field(None, pattern=r"^https?://[^/\s]+$")
    trusted_proxies: list[Network] = []
    connections: int = Field(10_000, ge=10)
    connections_per_address: int = Field(2_000, ge=1)


class WebSettings(Section):
    """What every route obeys unless it says otherwise."""

    cors_origins: list[Origin] = []
    hsts_s: int = Field(0, ge=0)
    deadline_s: float = Field(30.0, gt=0)
    body_limit: int = Field(1_048_576, gt=0)


class PluginsSettings(Section):
    """Which plugins run. Outside development and test nothing runs that `enabled` does not name."""

    enabled: list[str] | None = None
    disabled: list[str] = []
    on_failure: dict[str, OnFailure] = {"moderation": "fail"}
    start_deadline_s: float = Field(8.0, gt=0)
    warn_s: float = Field(2.0, gt=0)
    global_middlewares: list[str] = ["limits"]
    recovery: list[str] = ["auth", "embedded", "idempotency", "limits", "openapi", "projects", "rbac"]
    recovery_after: int = Field(3, ge=0)
    starts_dir: Path = Path(".studio/starts")

    def allows(self, name: str, environment: Environment) -> bool:
        """Return whether the installed plugin `name` may be imported."""
        if name in self.disabled:
            return False
        return environment in ("development", "test") if self.enabled is None else name in self.enabled


class OwnersSettings(Section):
    """The plugin that answers each decision."""

    authenticate: str = "auth"
    authorize: str = "rbac"
    cost: str = "free"


class LoggingSettings(Section):
    """Where log lines go. `format` None: console on a terminal in development, else JSON."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] | None = None
    directory: Path = Path(".errorLogs")
    queue_size: int = Field(10_000, ge=100)


class Settings(Section):
    """The kernel's configuration."""

    environment: Environment = "development"
    server: ServerSettings = ServerSettings()
    web: WebSettings = WebSettings()
    database: DatabaseSettings = DatabaseSettings()
    cache: CacheSettings = CacheSettings()
    plugins: PluginsSettings = PluginsSettings()
    owners: OwnersSettings = OwnersSettings()
    jobs: JobsSettings = JobsSettings()
    logging: LoggingSettings = LoggingSettings()


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The configuration of the kernel, of each plugin, and what looked odd in it."""

    settings: Settings
    plugins: dict[str, BaseModel]
    warnings: list[str] = field(default_factory=list)

    def secrets(self) -> Iterator[str]:
        """Yield every secret value that is set, for the log redaction."""
        for model in (self.settings, *self.plugins.values()):
            yield from (value for _, value in secrets_in(model))


def load_settings(
    plugin_models: Mapping[str, type[BaseModel]] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
) -> LoadedSettings:
    """Read and check everything; raises ConfigError with all problems of the kernel and of `plugin_models`.

    A plugin's section has its name: `[auth]` in TOML, `STUDIO_AUTH__<KEY>` in the environment. A field with
    `json_schema_extra={"env": "NAME"}` takes that variable too.
    """
    return _load(Reader(Settings, dict(plugin_models or {}), environ))


def load_plugin_choice(*, environ: Mapping[str, str] | None = None) -> tuple[Environment, PluginsSettings]:
    """Read only what decides which plugins are imported, before any of their settings models is known."""
    reader = Reader(Settings, {}, environ)
    try:
        choice = PluginsSettings.model_validate(reader.merged().get("plugins", {}))
    except ValidationError:
        choice = _load(reader).settings.plugins  # raises, naming everything that is wrong
    return reader.environment, choice


def _load(reader: Reader) -> LoadedSettings:
    sections = reader.load()
    plugins = {name: sections.pop(name) for name in reader.plugins}
    return LoadedSettings(Settings(environment=reader.environment, **sections), plugins, reader.warnings)
