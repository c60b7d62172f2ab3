"""What asset_gen offers to other plugins: ask `ctx.service(Assets)`, and list "asset_gen" in `requires`.

A plugin's own kind of asset joins with `Assets.join(kind)` in its `lifespan`: it takes part in batches,
estimates and "what would re-render" from then on. Its job kind it registers itself, with `Assets.accept` to
keep the results.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from studio import Doc, Generation, GenerationRequest

SHORT_SIDE = {"480p": 480, "720p": 720, "1080p": 1080}
Media = Literal["image", "video", "audio", "music", "subtitle", "timeline", "document"]
RATIO = {"16:9": 16 / 9, "9:16": 9 / 16, "1:1": 1.0, "4:3": 4 / 3, "2.39:1": 2.39}


@dataclass(frozen=True, slots=True)
class Slot:
    """One place for a take. `stale` says why the current take no longer fits, None while it does."""

    type: str
    id: str
    slot: str
    label: str
    asset_id: str | None = None
    stale: str | None = None

    @property
    def target(self) -> dict[str, str]:
        """The target of a job that fills this slot."""
        return {"type": self.type, "id": self.id, "slot": self.slot}


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller chose; `takes` counts the takes that are there, so that a new one can differ."""

    provider: str | None = None
    model: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    takes: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """One order: `input` holds everything that `AssetKind.request` needs, and `basis`, a hash of it.

    `provider` is the plan's own choice where the caller made none.
    """

    slot: Slot
    input: dict[str, Any]
    provider: str | None = None


@dataclass(slots=True)
class StoryView:
    """A story read once; `characters` and `assets` go by id, `assets` holds the current takes."""

    project: Doc
    story: Doc
    scenes: list[Doc]
    shots: list[Doc]
    characters: dict[str, Doc]
    assets: dict[str, Doc] = field(default_factory=dict)

    def shot(self, shot_id: str) -> Doc | None:
        """Return a shot of the story."""
        return next((shot for shot in self.shots if shot["_id"] == shot_id), None)


class AssetKind(Protocol):
    """One kind of asset: which slots of a story it fills, and how an order for one is made."""

    job: str
    """Name of the job kind, e.g. "image.generate"."""
    name: str
    """Name in a batch, e.g. "panels"."""
    capability: str
    media: Media
    role: str
    overrides: frozenset[str]
    """Which of the caller's overrides it reads; others are refused."""

    async def slots(self, view: StoryView) -> list[Slot]:
        """Return every slot of the story that this kind fills, in film order."""
        ...

    async def plan(self, view: StoryView, slot: Slot, wish: Wish) -> Plan:
        """Make an order; raises ConflictError naming what must be made first."""
        ...

    async def request(self, job: Doc) -> GenerationRequest:
        """Build the provider's request from `job["input"]`; what else is stored may have changed since."""
        ...


class Views(Protocol):
    """Reads stories for whoever plans takes."""

    async def view(self, story_id: str) -> StoryView:
        """Return a story with its project and its current takes; raises NotFoundError."""
        ...


class Assets(Protocol):
    """Takes, as other plugins see them; documents are stored ones."""

    def join(self, kind: AssetKind) -> None:
        """Add a kind of asset; raises ValueError when its name is taken."""
        ...

    async def accept(
        self,
        job: Doc,
        generation: Generation,
        late: bool,  # noqa: FBT001 - the shape of JobKind.accept
        *,
        slots: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Keep the files of a finished job, once per attempt; returns the fields to set on the job.

        The first file becomes the current take of the target's slot. With `slots`, one per file, each is the
        take of a slot of its own, and pointing the owner at them is the caller's.
        """
        ...

    async def asset(self, asset_id: str) -> Doc:
        """Return one asset; raises NotFoundError."""
        ...

    async def assets(self, asset_ids: Iterable[str]) -> dict[str, Doc]:
        """Return the released assets, by id: what was kept back is not among them."""
        ...

    async def current(self, owner_type: str, owner_id: str, slot: str) -> Doc | None:
        """Return the chosen take of an owner that is no shot (a shot says so itself in `current`)."""
        ...

    async def path(self, asset: Doc) -> Path:
        """Return a local readable path of the asset's file."""
        ...


def frame_size(project: Doc, *, aspect: str | None = None) -> tuple[int, int]:
    """Return width and height in pixels, both even, of the project's aspect and resolution."""
    ratio = RATIO[aspect or project["aspect"]]
    short = SHORT_SIDE[project["resolution"]]
    return (_even(short * ratio), short) if ratio >= 1 else (short, _even(short / ratio))


def basis_hash(*inputs: object) -> str:
    """Return a hash of what an asset is made from; equal inputs need no new take."""
    return hashlib.sha256("\x00".join(map(str, inputs)).encode()).hexdigest()[:32]


def _even(pixels: float) -> int:
    return round(pixels / 2) * 2
