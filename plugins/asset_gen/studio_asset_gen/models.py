"""The shapes on the wire: orders, jobs, takes and voice settings."""

from typing import Annotated, Any, Literal

from pydantic import Field

from studio import JobState, Model

Id = Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[A-Za-z0-9_.:-]+$")]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Text = Annotated[str, Field(max_length=5_000)]
Rate = Annotated[int, Field(ge=80, le=450)]
Pitch = Annotated[int, Field(ge=0, le=100)]
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
Mood = Literal["neutral", "tense", "warm", "sad", "bright", "dark"]

# ---------------------------------------------------------------- orders


Scenes = Annotated[str | None, Field(max_length=200, pattern=r"^[0-9A-Za-z.]+(\s*[-,]\s*[0-9A-Za-z.]+)*$")]


class Target(Model):
    """What a take is for: a shot's "panel", "clip" or "voice:<line id>", or a story's "music"."""

    type: Literal["shot", "story"] = "shot"
    id: Id
    slot: Id


class Overrides(Model):
    """What one generation does otherwise than the story says; each kind reads its own."""

    prompt: Text | None = None
    negative: Text | None = None
    seed: Annotated[int | None, Field(ge=0, lt=2**31)] = None
    voice: Name | None = None
    rate: Rate | None = None
    pitch: Pitch | None = None
    movement: (
        Literal["static", "push_in", "pull_out", "pan_left", "pan_right", "tilt_up", "tilt_down"] | None
    ) = None
    duration_ms: Annotated[int | None, Field(ge=200, le=600_000)] = None
    mood: Mood | None = None
    tempo_bpm: Annotated[int | None, Field(ge=40, le=220)] = None


class GenerateRequest(Model):
    """Make `n` new takes for one slot."""

    target: Target
    kind: Name | None = None
    """The job kind, e.g. "image.generate"; the slot says it already, so it is only checked."""
    n: Annotated[int, Field(ge=1, le=8)] = 1
    provider: Name | None = None
    model: Name | None = None
    overrides: Overrides = Overrides()


class BatchRequest(Model):
    """Make what a story lacks: by default missing and stale panels and voices."""

    story_id: Id
    kinds: Annotated[list[Name], Field(min_length=1, max_length=20)] = Field(
        default_factory=lambda: ["panels", "voices"]
    )
    scenes: Scenes = None
    """Only these scenes: "1-3", "2,5-6"."""
    only: Literal["missing_or_stale", "missing", "stale", "all"] = "missing_or_stale"
    providers: dict[Kind, Name] = Field(default_factory=dict)
    """Provider by kind, e.g. {"panels": "local"}."""


class EstimateRequest(Model):
    """Price a batch (`storyId`) or one generation (`target`)."""

    story_id: Id | None = None
    kinds: Annotated[list[Name], Field(min_length=1, max_length=20)] = Field(
        default_factory=lambda: ["panels", "voices"]
    )
    scenes: Scenes = None
    """Only these scenes: "1-3", "2,5-6"."""
    only: Literal["missing_or_stale", "missing", "stale", "all"] = "missing_or_stale"
    providers: dict[Kind, Name] = Field(default_factory=dict)
    target: Target | None = None
    n: Annotated[int, Field(ge=1, le=8)] = 1
    provider: Name | None = None
    model: Name | None = None
    overrides: Overrides = Overrides()


class JobProgress(Model):
    """How far a job is."""

    pct: int = 0
    stage: str = ""


class JobPublic(Model):
    """A job; money in micro-USD, null is unknown; `stateSeq` orders what the realtime channel says."""

    id: str
    project_id: str
    user_id: str
    kind: str
    target: dict[str, Any] = Field(default_factory=dict)
    state: JobState
    state_seq: int = 0
    progress: JobProgress = JobProgress()
    provider: str | None = None
    model: str | None = None
    attempt: int = 1
    batch_id: str | None = None
    result_asset_ids: list[str] = Field(default_factory=list)
    estimate_uusd: int | None = None
    cost_uusd: int | None = None
    cost_source: str | None = None
    error: dict[str, Any] | None = None
    created_at: int = 0
    started_at: int | None = None
    finished_at: int | None = None


class GenerateStarted(Model):
    """The ordered jobs; `job` is the first."""

    job: JobPublic
    jobs: list[JobPublic]


class Blocked(Model):
    """A slot that cannot be made yet, and what to do first."""

    kind: str
    target: dict[str, str]
    label: str
    reason: str


class BatchStarted(Model):
    """The ordered jobs of a batch (`total` of them), and what could not be ordered."""

    batch_id: str
    total: int
    jobs: list[JobPublic]
    blocked: list[Blocked] = Field(default_factory=list)


class EstimateItem(Model):
    """The price of all orders of one kind at one provider; null means unknown, which is not free."""

    kind: str
    provider: str
    model: str | None = None
    count: int
    cost_uusd: int | None
    note: str = ""


class EstimateAnswer(Model):
    """What the orders would cost. `alternatives` prices the same at the other providers that are on."""

    jobs: int
    total_uusd: int | None
    items: list[EstimateItem]
    alternatives: list[EstimateItem] = Field(default_factory=list)
    blocked: list[Blocked] = Field(default_factory=list)


class JobQuery(Model):
    """Which jobs of a project."""

    project_id: Id
    state: JobState | None = None
    batch_id: Id | None = None
    cursor: Annotated[str | None, Field(max_length=200)] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class CancelRequest(Model):
    """Cancel what has not begun: a batch's queued jobs, or the whole project's."""

    project_id: Id
    batch_id: Id | None = None


class Cancelled(Model):
    """How many jobs were cancelled; those under way go on."""

    cancelled: int


class QueueState(Model):
    """Whether queued jobs wait until somebody resumes the queue; those under way go on."""

    paused: bool


class StaleQuery(Model):
    """Of which story."""

    story_id: Id


class StaleItem(Model):
    """One slot whose take is missing or no longer shows what the story says."""

    kind: str
    target: dict[str, str]
    label: str
    asset_id: str | None = None
    reason: str


class StaleAnswer(Model):
    """What would be made again, and what it would cost."""

    items: list[StaleItem]
    total: int
    estimate: EstimateAnswer


# ---------------------------------------------------------------- providers


class ModelQuery(Model):
    """Models of one capability, or all."""

    capability: Name | None = None


class PriceModel(Model):
    """One model and its declared price (micro-USD per unit)."""

    name: str
    price_kind: str
    unit_price_uusd: int | None = None
    limits: dict[str, int] = Field(default_factory=dict)
    formats: list[str] = Field(default_factory=list)


class ProviderPublic(Model):
    """Who offers a capability, and why not now (`reason`)."""

    capability: str
    provider: str
    plugin: str = ""
    available: bool
    reason: str | None = None
    models: list[PriceModel] = Field(default_factory=list)


class ProviderList(Model):
    """Everybody who can generate something."""

    items: list[ProviderPublic]


# ---------------------------------------------------------------- takes


class Owner(Model):
    """Whose take it is."""

    type: str
    id: str


class Blob(Model):
    """The stored file."""

    mime: str
    bytes: int
    sha256: str


class Word(Model):
    """One spoken word, ms from the start of the line."""

    text: str
    start_ms: int
    end_ms: int


class Media(Model):
    """What is known of the picture or sound."""

    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    text: str | None = None
    words: list[Word] = Field(default_factory=list)


class Score(Model):
    """One judgement, 0 to 1."""

    scorer: str
    score: float
    reason: str = ""


class AssetPublic(Model):
    """One take. `url` carries the file's fingerprint and never changes its content; so does `thumbnailUrl`.

    `blurhash` is what to show until the thumbnail is there; `previewError` says why there is neither.
    """

    id: str
    project_id: str
    story_id: str | None = None
    kind: str
    role: str
    owner: Owner
    slot: str
    take: int
    url: str
    thumbnail_url: str | None = None
    blurhash: str | None = None
    preview_error: str | None = None
    blob: Blob
    media: Media
    state: str
    selected: bool = False
    provider: str | None = None
    model: str | None = None
    cost_uusd: int | None = None
    job_id: str | None = None
    scores: list[Score] = Field(default_factory=list)
    favourite_by: list[str] = Field(default_factory=list)
    rating: int | None = None
    tags: list[str] = Field(default_factory=list)
    created_at: int


class Released(Model):
    """Takes that were undecided and are ready now; choose one yourself."""

    items: list[AssetPublic]


class AssetQuery(Model):
    """Which takes of a project."""

    project_id: Id
    owner_id: Id | None = None
    slot: Id | None = None
    kind: Name | None = None
    cursor: Annotated[str | None, Field(max_length=200)] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class AssetUpdate(Model):
    """What people say of a take."""

    favourite: bool | None = None
    rating: Annotated[int | None, Field(ge=0, le=5)] = None
    tags: Annotated[list[Annotated[str, Field(min_length=1, max_length=40)]] | None, Field(max_length=20)] = (
        None
    )


class FileQuery(Model):
    """`v` is the fingerprint of the URL that the asset names."""

    v: Annotated[str | None, Field(pattern=r"^[0-9a-f]{8,64}$")] = None
    download: bool = False
