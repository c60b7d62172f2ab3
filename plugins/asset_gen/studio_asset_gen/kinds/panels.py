"""Panels: one picture per shot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import ImageRequest, ShotBrief
from studio_asset_gen.api import Plan, basis_hash, frame_size
from studio_asset_gen.kinds.common import seed_for_shot, shot_slot, stored_path
from studio_stories.api import Stories

if TYPE_CHECKING:
    from studio import Doc, PluginContext
    from studio_asset_gen.api import Assets, Media, Slot, StoryView, Wish

MAX_REFERENCES = 4


class PanelKind:
    """Draws a shot's panel, with the reference pictures of who is in it."""

    job, name, capability, role = "image.generate", "panels", "image", "panel"
    media: Media = "image"
    overrides = frozenset({"prompt", "negative", "seed"})

    def __init__(self, ctx: PluginContext, assets: Assets) -> None:
        self._ctx, self._assets = ctx, assets

    @property
    def _stories(self) -> Stories:
        return self._ctx.service(Stories)  # type: ignore[type-abstract]  # a protocol is the key it is asked by

    async def slots(self, view: StoryView) -> list[Slot]:
        """Return one slot per shot."""
        return [
            shot_slot(view, shot, "panel", f"Panel {shot['code']}", self._basis(view, shot))
            for shot in view.shots
        ]

    def _basis(self, view: StoryView, shot: Doc) -> str:
        style = (view.project.get("style_prompt", ""), view.project["aspect"])
        return basis_hash(self._stories.basis(shot, "panel"), *style)

    async def plan(self, view: StoryView, slot: Slot, wish: Wish) -> Plan:
        """Fix prompt, seed, size and references of a panel."""
        shot = view.shot(slot.id) or await self._stories.shot(slot.id)
        prompt = await self._stories.brief(shot)
        width, height = frame_size(view.project)
        told = wish.overrides.get("prompt") or prompt.prompt
        return Plan(
            slot,
            {
                "prompt": ". ".join(filter(None, (told, view.project.get("style_prompt")))),
                "negative": wish.overrides.get("negative") or "",
                "seed": seed_for_shot(wish, view.story["title"], shot["code"]),
                "width": width,
                "height": height,
                "brief": prompt.brief.model_dump(mode="json"),
                "references": await self._references(view, shot),
                "basis": self._basis(view, shot),
                "shot_basis": prompt.basis,
            },
        )

    async def _references(self, view: StoryView, shot: Doc) -> list[str]:
        cast = [view.characters[i] for i in shot["character_ids"] if i in view.characters]
        ids = [asset_id for one in cast for asset_id in one.get("ref_asset_ids", ())][:MAX_REFERENCES]
        taken = (await self._assets.assets(ids)).values()
        mine = shot["project_id"]  # anybody may write any id into a character: another project's is nobody's
        keys = {a["_id"]: a["blob"]["key"] for a in taken if (a["kind"], a["project_id"]) == ("image", mine)}
        return [keys[i] for i in ids if i in keys]

    async def request(self, job: Doc) -> ImageRequest:
        """Build the provider's request from the order."""
        given = job["input"]
        return ImageRequest(
            job_id=job["_id"],
            model=job["model"],
            prompt=given["prompt"],
            negative=given["negative"],
            width=given["width"],
            height=given["height"],
            seed=given["seed"],
            brief=ShotBrief.model_validate(given["brief"]),
            references=tuple([await stored_path(self._ctx, key) for key in given["references"]]),
        )
