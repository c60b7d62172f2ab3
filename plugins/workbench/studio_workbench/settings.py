"""The section `[workbench]` of the configuration."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class WorkbenchSettings(BaseModel):
    """Where films are made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    work_dir: Path = Field(
        Path(".studio/renders"),
        description="folder of renders under way and of the segments kept between them",
    )
    keep_renders_h: float = Field(
        24.0, gt=0, description="hours until the folder of a render that broke off is removed"
    )
