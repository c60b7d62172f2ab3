"""The section `[embedded]` of the configuration."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class EmbeddedSettings(BaseModel):
    """Where the embedded servers keep their data, and how long they get; without effect once URLs are set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data_dir: Path = Field(Path(".studio"), description="folder of data, credentials and logs")
    start_deadline_s: float = Field(
        30.0, gt=0, description="seconds until a server must answer; the very first start may take ten"
    )
    stop_deadline_s: float = Field(10.0, gt=0, description="seconds between SIGTERM and SIGKILL")
    database_cache_size: str = Field(
        "256M", pattern=r"^[1-9]\d*[MG]$", description="memory for the database's cache, such as 256M or 1G"
    )
