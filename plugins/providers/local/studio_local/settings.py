"""The section `[local]` of the configuration."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class LocalSettings(BaseModel):
    """Where the local pack works, and what it may use of the machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    work_dir: Path = Field(Path(".studio/local"), description="folder of running and finished jobs")
    storage_dir: Path = Field(Path(".studio/storage"), description="folder of the content-addressed storage")
    outbox_dir: Path = Field(Path(".studio/outbox"), description="folder that receives mails as .eml files")
    processes: int = Field(2, ge=1, le=32, description="child processes per kind (drawing, voices, ffmpeg)")
    child_memory_mb: int = Field(
        2048, ge=256, description="address space of one drawing or voice process; more ends that job only"
    )
    child_deadline_s: float = Field(
        60.0, gt=0, description="seconds for one panel, line, bed, score or export"
    )
    ffmpeg: Path | None = Field(
        None, description="an ffmpeg with libx264, libass and AAC to use instead of the wheel's"
    )
    ffmpeg_deadline_s: float = Field(180.0, gt=0, description="seconds for one ffmpeg process")
    keep_jobs_h: float = Field(24.0, gt=0, description="hours until the folder of a job is removed")
    keep_segments_d: float = Field(14.0, gt=0, description="days an unused film segment stays in its cache")
