"""Two databases, `studio` and `stories`; collections are declared by plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.database.contract import Collection, Database, Index, Migration, Repository
from studio.database.settings import DatabaseSettings
from studio.errors import ConfigError

if TYPE_CHECKING:
    from studio.database.mongo import MongoDatabase

__all__ = ["Collection", "Database", "DatabaseSettings", "Index", "Migration", "Repository", "connect"]


def connect(settings: DatabaseSettings, url: str | None = None) -> MongoDatabase:
    """Return both databases behind `url` (by default the configured one); the first call connects.

    Raises ConfigError when there is no URL, or none that the driver can read.
    """
    from studio.database.mongo import MongoDatabase  # noqa: PLC0415 - the driver costs 0.1 s to import

    url = url or (settings.url.get_secret_value() if settings.url else None)
    if not url:
        problem = "no database: set STUDIO_DATABASE__URL (or MONGODB_URL), or pip install studio-embedded"
        raise ConfigError([problem])
    return MongoDatabase(url, settings)
