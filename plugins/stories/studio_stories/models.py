"""The shapes on the wire: what clients send, and the public side of stored documents."""

from typing import Annotated, Any, Literal

from pydantic import Field

from studio import Model

Name = Annotated[str, Field(min_length=1, max_length=200)]
Note = Annotated[str, Field(max_length=5_000)]
Id = Annotated[str, Field(min_length=1, max_length=64)]
Ids = Annotated[list[Id], Field(max_length=100)]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
DurationMs = Annotated[int, Field(ge=200, le=600_000)]
StoryFormat = Literal["fountain", "fdx", "text"]
IntExt = Literal["INT", "EXT", "INT/EXT"]
ShotSize = Literal["ELS", "LS", "MS", "MCU", "CU", "ECU", "OTS", "TWO"]
Movement = Literal["static", "push_in", "pull_out", "pan_left", "pan_right", "tilt_up", "tilt_down"]
Weather = Literal["clear", "rain", "snow", "fog", "storm", "wind"]
Mood = Literal["neutral", "tense", "warm", "sad", "bright", "dark"]
Rev = Annotated[int, Field(ge=1)]


class Versioned(Model):
    """An edit.

    `rev` (or the header If-Match) names the revision it was made on; another one there is a 409.
    """

    rev: Rev | None = None


# ---------------------------------------------------------------- stories


class StoryCreate(Model):
    """A new story from text; the format is found out when it is not given."""

    project_id: Id
    text: Annotated[str, Field(min_length=1)]
    title: Name | None = None
    format: StoryFormat | None = None


class StoryImport(Model):
    """New text for a story, which becomes its next version."""

    text: Annotated[str, Field(min_length=1)]
    format: StoryFormat | None = None


class StoryUpdate(Versioned):
    """An edit of what is said about a story, not of its script."""

    title: Name | None = None
    logline: Note | None = None
    language: Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] | None = None
    status: Literal["ready", "archived"] | None = None


class StoryQuery(Model):
    """Which stories."""

    project_id: Id
    cursor: str | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50


class UploadQuery(Model):
    """Where an uploaded file goes and what it is called; the name's ending helps to tell the format."""

    project_id: Id
    filename: Name = "story.txt"
    title: Name | None = None


class FileQuery(Model):
    """What an uploaded file is called."""

    filename: Name = "story.txt"


class ExportQuery(Model):
    """The format of an export."""

    format: Literal["fountain", "fdx", "json"] = "fountain"


class StoryPublic(Model):
    """A story without its script text."""

    id: str
    project_id: str
    title: str
    author: str = ""
    logline: str = ""
    language: str = "en"
    format: StoryFormat
    status: Literal["draft", "breakdown", "ready", "archived"]
    version: int
    word_count: int = 0
    scene_count: int = 0
    warnings: list[str] = Field(default_factory=list)
    rev: int
    created_at: int
    updated_at: int


class VersionPublic(Model):
    """One version of a story, and why it came to be."""

    version: int
    reason: Literal["created", "imported", "breakdown", "restored"]
    author_id: str
    at: int
    title: str
    scene_count: int
    shot_count: int
    current: bool


# ---------------------------------------------------------------- scenes and shots


class Heading(Model):
    """A scene heading; `text` is the line as it stands in the script."""

    text: str = ""
    int_ext: IntExt = "INT"
    location_name: Name
    time_of_day: Annotated[str, Field(max_length=60)] = ""


class SceneElement(Model):
    """One paragraph of action, one speech or one transition. The id stays when the text is edited."""

    id: Id | None = None
    kind: Literal["action", "dialogue", "transition"]
    text: Annotated[str, Field(min_length=1, max_length=20_000)]
    character: Name | None = None
    parenthetical: Annotated[str, Field(max_length=500)] = ""
    extension: Annotated[str, Field(max_length=100)] = ""
    dual: bool = False


class SceneCreate(Model):
    """A new scene behind `after_id`, at the end without it."""

    heading: Heading
    synopsis: Note = ""
    elements: Annotated[list[SceneElement], Field(max_length=1_000)] = Field(default_factory=list)
    after_id: Id | None = None


class SceneUpdate(Versioned):
    """An edit of a scene."""

    heading: Heading | None = None
    synopsis: Note | None = None
    mood: Mood | None = None
    elements: Annotated[list[SceneElement], Field(max_length=1_000)] | None = None
    lock: bool | None = None


class ScenePublic(Model):
    """A scene with its script."""

    id: str
    story_id: str
    project_id: str
    order: str
    number: str
    heading: Heading
    location_id: str | None = None
    synopsis: str = ""
    elements: list[SceneElement] = Field(default_factory=list)
    character_ids: list[str] = Field(default_factory=list)
    mood: Mood = "neutral"
    duration_ms_est: int = 0
    source_span: dict[str, int] | None = None
    lock: bool = False
    rev: int


class ShotLine(Model):
    """A spoken line of a shot. `id` stays through edits; a null character is the narrator."""

    id: Id | None = None
    character_id: Id | None = None
    text: Annotated[str, Field(min_length=1, max_length=5_000)]
    parenthetical: Annotated[str, Field(max_length=500)] = ""
    emotion: Annotated[str, Field(max_length=100)] = ""


class ShotFields(Versioned):
    """What can be said of a shot."""

    description: Note | None = None
    shot_size: ShotSize | None = None
    angle: Annotated[str, Field(max_length=40)] | None = None
    movement: Movement | None = None
    duration_ms: DurationMs | None = None
    lines: Annotated[list[ShotLine], Field(max_length=100)] | None = None
    character_ids: Ids | None = None
    location_id: Id | None = None
    prop_ids: Ids | None = None
    weather: Weather | None = None
    mood: Mood | None = None
    prompt: Note | None = None


class ShotCreate(ShotFields):
    """A new shot behind `after_id`, at the end of its scene without it."""

    after_id: Id | None = None


class ShotUpdate(ShotFields):
    """An edit of a shot. A locked shot outlives a new breakdown."""

    lock: bool | None = None
    approved: bool | None = None


class StaleMark(Model):
    """Why a take no longer shows what the story says, and since when (UTC ms)."""

    reason: str
    since: int


class ShotPublic(Model):
    """A shot. `current` and `stale` go by slot: "panel", "clip", "voice:<line id>"."""

    id: str
    story_id: str
    scene_id: str
    project_id: str
    order: str
    code: str
    description: str = ""
    shot_size: str = "MS"
    angle: str = "eye"
    movement: str = "static"
    duration_ms: int
    lines: list[ShotLine] = Field(default_factory=list)
    character_ids: list[str] = Field(default_factory=list)
    location_id: str | None = None
    prop_ids: list[str] = Field(default_factory=list)
    weather: str = "clear"
    mood: str = "neutral"
    prompt: str = ""
    current: dict[str, str] = Field(default_factory=dict)
    stale: dict[str, StaleMark] = Field(default_factory=dict)
    status: Literal["empty", "planned", "boarded", "voiced", "approved"] = "empty"
    lock: bool = False
    rev: int


class Reorder(Model):
    """The new place: behind `after_id`, or first when it is null. A shot may change its scene."""

    after_id: Id | None
    scene_id: Id | None = None


# ---------------------------------------------------------------- characters, locations, props


class EntityFields(Versioned):
    """What can be said of a location or a prop."""

    aliases: Annotated[list[Name], Field(max_length=50)] | None = None
    description: Note | None = None
    ref_asset_ids: Ids | None = None


class EntityCreate(EntityFields):
    """A new location or prop."""

    name: Name


class EntityUpdate(EntityFields):
    """An edit of a location or prop."""

    name: Name | None = None


class CharacterFields(EntityFields):
    """What can be said of a character."""

    role: Annotated[str, Field(max_length=100)] | None = None
    appearance: dict[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")], Note] | None = None
    colour: Colour | None = None
    voice_setting_id: Id | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None


class CharacterCreate(CharacterFields):
    """A new character."""

    name: Name


class CharacterUpdate(CharacterFields):
    """An edit of a character."""

    name: Name | None = None


class EntityPublic(Model):
    """A location or prop."""

    id: str
    story_id: str
    project_id: str
    name: str
    aliases: list[str] = Field(default_factory=list)
    description: str = ""
    ref_asset_ids: list[str] = Field(default_factory=list)
    rev: int


class CharacterPublic(EntityPublic):
    """A character; its colour stays the same through the whole film."""

    role: str = ""
    appearance: dict[str, Any] = Field(default_factory=dict)
    colour: str
    voice_setting_id: str | None = None
    seed: int = 0
    line_count: int = 0


class StoryTree(Model):
    """Everything of a story in one answer, each list in film order."""

    story: StoryPublic
    scenes: list[ScenePublic]
    shots: list[ShotPublic]
    characters: list[CharacterPublic]
    locations: list[EntityPublic]
    props: list[EntityPublic]


class BreakdownQuery(Model):
    """`dry_run` true answers with the estimate and starts nothing."""

    dry_run: bool = False


class BreakdownStart(Model):
    """Who breaks the story down; the configured default without a choice."""

    provider: Name | None = None
    model: Name | None = None


class BreakdownStarted(Model):
    """The job, or with `dryRun` what it would cost (micro-USD; null means unknown)."""

    job_id: str | None = None
    state: str | None = None
    scenes: int
    estimate_uusd: int | None = None
    note: str = ""
