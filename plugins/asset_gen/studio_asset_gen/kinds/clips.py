"""Clips: a shot's panel set in motion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import ConflictError, VideoRequest
from studio_asset_gen.api import Plan, Slot, basis_hash, frame_size
from studio_asset_gen.kinds.common import shot_slot, stored_path
from studio_stories.api import Stories

if TYPE_CHECKING:
    from studio import Doc, PluginContext
    from studio_asset_gen.api import Assets, Media, StoryView, Wish


class ClipKind:
    """Animates the current panel of a shot; another panel makes the clip stale."""

    job, name, capability, role = "video.generate", "clips", "video", "clip"
    media: Media = "video"
    overrides = frozenset({"prompt", "movement", "duration_ms"})

    def __init__(self, ctx: PluginContext, assets: Assets) -> None:
        self._ctx, self._assets = ctx, assets

    @property
    def _stories(self) -> Stories:
        return self._ctx.service(Stories)  # type: ignore[type-abstract]  # a protocol is the key it is asked by

    async def slots(self, view: StoryView) -> list[Slot]:
        """Return one slot per shot."""
        return [
            shot_slot(view, shot, "clip", f"Clip {shot['code']}", self._basis(shot)) for shot in view.shots
        ]

    def _basis(self, shot: Doc) -> str:
        return basis_hash(self._stories.basis(shot, "clip"), (shot.get("current") or {}).get("panel"))

    async def plan(self, view: StoryView, slot: Slot, wish: Wish) -> Plan:
        """Fix panel, movement and length of a clip; raises ConflictError while the shot has no panel."""
        shot = view.shot(slot.id) or await self._stories.shot(slot.id)
        panel_id = (shot.get("current") or {}).get("panel", "")
        panel = view.assets.get(panel_id) or (await self._assets.assets([panel_id])).get(panel_id)
        if panel is None:
            first = [{"action": "generate", "kind": "panels"}]
            raise ConflictError(
                f"Shot {shot['code']} has no panel to animate: generate its panel first.",
                code="panel_missing",
                retry_with=first,
            )
        width, height = frame_size(view.project)
        given = {
            "prompt": wish.overrides.get("prompt") or shot.get("prompt") or shot.get("description", ""),
            "movement": wish.overrides.get("movement") or shot["movement"],
            "duration_ms": wish.overrides.get("duration_ms") or shot["duration_ms"],
            "width": width,
            "height": height,
            "fps": view.project["fps"],
            "image": panel["blob"]["key"],
            "panel_id": panel["_id"],
            "basis": self._basis(shot),
            "shot_basis": self._stories.basis(shot, "clip"),
        }
        return Plan(slot, given)

    async def request(self, job: Doc) -> VideoRequest:
        """Build the provider's request from the order."""
        given = job["input"]
        kept = {key: given[key] for key in ("prompt", "movement", "duration_ms", "width", "height", "fps")}
        image = await stored_path(self._ctx, given["image"])
        return VideoRequest(job_id=job["_id"], model=job["model"], image=image, **kept)
