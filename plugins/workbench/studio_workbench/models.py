"""The shapes on the wire: dashboard, timelines and their exports."""

from typing import Annotated, Any, Literal

from pydantic import Field

from studio import Model

Id = Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[A-Za-z0-9_.:-]+$")]
ExportFormat = Literal["mp4", "srt", "vtt", "ass", "otio", "edl", "fcpxml"]


class TimelineCreate(Model):
    """A timeline of a story, or of some scenes: "1-3", "2,5-6"."""

    story_id: Id
    scenes: Annotated[
        str | None, Field(max_length=200, pattern=r"^[0-9A-Za-z.]+(\s*[-,]\s*[0-9A-Za-z.]+)*$")
    ] = None
    name: Annotated[str | None, Field(min_length=1, max_length=200)] = None


class TimelineQuery(Model):
    """Timelines of a project, or of one of its stories."""

    project_id: Id
    story_id: Id | None = None
    cursor: Annotated[str | None, Field(max_length=200)] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class TimelineLine(Model):
    """A spoken line; `startMs` from the start of its shot. Without `voiceAssetId` it is only a subtitle."""

    line_id: str
    speaker: str = ""
    text: str
    start_ms: int
    duration_ms: int
    voice_asset_id: str | None = None


class TimelineShot(Model):
    """A shot on the timeline; `startMs` from the start of the film."""

    shot_id: str
    scene_id: str
    code: str
    start_ms: int
    duration_ms: int
    movement: str
    panel_asset_id: str | None = None
    clip_asset_id: str | None = None
    lines: list[TimelineLine] = Field(default_factory=list)


class TimelinePublic(Model):
    """A timeline. `outputs` names the asset of each format of the last render, `skipped` why others lack."""

    id: str
    project_id: str
    story_id: str
    name: str
    scenes: str | None = None
    width: int
    height: int
    fps: int
    duration_ms: int
    shots: list[TimelineShot] = Field(default_factory=list)
    music_asset_id: str | None = None
    missing_panels: list[str] = Field(default_factory=list)
    missing_voices: list[str] = Field(default_factory=list)
    basis_hash: str
    render_asset_id: str | None = None
    render_basis: str | None = None
    rendered_at: int | None = None
    outputs: dict[str, str] = Field(default_factory=dict)
    skipped: dict[str, str] = Field(default_factory=dict)
    created_at: int
    updated_at: int


class RenderRequest(Model):
    """How to render."""

    provider: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    model: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    burn_subtitles: bool = True


class JobRow(Model):
    """A job under way."""

    id: str
    kind: str
    state: str
    progress: dict[str, Any]
    target: dict[str, Any]
    batch_id: str | None = None
    created_at: int


class RenderStarted(Model):
    """The render job, and what the film will lack."""

    job_id: str
    job: JobRow
    timeline_id: str
    missing_panels: list[str]
    missing_voices: list[str]


class ExportQuery(Model):
    """Which file. With `allowStale` the last render is good enough."""

    format: ExportFormat = "mp4"
    allow_stale: bool = False


class StaleShot(Model):
    """A shot that is not what was rendered."""

    shot_id: str
    code: str
    change: Literal["added", "changed", "removed"]


class TimelineStale(Model):
    """Whether the last render still shows the story."""

    rendered: bool
    stale: bool
    shots: list[StaleShot] = Field(default_factory=list)
    other: list[str] = Field(default_factory=list)
    """What else changed: "music", "frame", "order"."""


class SceneCount(Model):
    """How far a scene is: shots by state."""

    scene_id: str
    number: str
    heading: str
    shots: int
    states: dict[str, int]


class StoryCount(Model):
    """How far a story is."""

    story_id: str
    title: str
    status: str
    shots: int
    states: dict[str, int]
    panels: int
    voices: int
    lines: int
    stale: int
    scenes: list[SceneCount]


class RenderRow(Model):
    """A rendered timeline."""

    timeline_id: str
    story_id: str
    name: str
    rendered_at: int
    render_asset_id: str
    duration_ms: int


class Dashboard(Model):
    """A project at a glance."""

    project_id: str
    stories: list[StoryCount]
    renders: list[RenderRow]
    active_jobs: list[JobRow]
