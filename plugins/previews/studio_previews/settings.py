"""The section `[previews]` of the configuration."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class PreviewsSettings(BaseModel):
    """How thumbnails look, and how long one may take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=True, description="whether new pictures and videos get a thumbnail")
    long_side: int = Field(480, ge=16, le=4096, description="pixels of the longer side")
    format: Literal["jpeg", "webp"] = "jpeg"
    deadline_s: float = Field(8.0, gt=0, le=9.5, description="seconds for one thumbnail; the chain gives ten")
