"""Settings of the stories plugin: section `stories`, environment `STUDIO_STORIES__…`."""

from pydantic import BaseModel, ConfigDict, Field


class StoriesSettings(BaseModel):
    """What an operator may change."""

    model_config = ConfigDict(extra="forbid")

    max_file_bytes: int = Field(default=20_000_000, ge=1_000, le=20_000_000)
    """Largest story file; an FDX file is mostly markup, its script may have 2 MB."""
    kept_versions: int = Field(default=50, ge=1, le=1_000)
    """Older versions of a story are forgotten, the oldest first."""
