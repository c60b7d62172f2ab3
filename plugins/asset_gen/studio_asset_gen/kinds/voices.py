"""Voices: one file per spoken line, in the voice of who speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio import VoiceRequest
from studio_asset_gen.api import Plan, Slot, basis_hash
from studio_asset_gen.kinds.common import shot_slot
from studio_asset_gen.voices import VoiceService, speaker_name
from studio_stories.api import Stories

if TYPE_CHECKING:
    from studio import Doc, PluginContext
    from studio_asset_gen.api import Media, StoryView, Wish


class VoiceKind:
    """Speaks a line. The order carries the fallback voices, to be tried when its provider fails."""

    job, name, capability, role = "voice.generate", "voices", "voice", "line"
    media: Media = "audio"
    overrides = frozenset({"voice", "rate", "pitch"})

    def __init__(self, ctx: PluginContext, voices: VoiceService) -> None:
        self._ctx, self._voices = ctx, voices

    @property
    def _stories(self) -> Stories:
        return self._ctx.service(Stories)  # type: ignore[type-abstract]  # a protocol is the key it is asked by

    async def slots(self, view: StoryView) -> list[Slot]:
        """Return one slot per line; a line whose character has no voice yet has no take either."""
        settings = await self._voices.known(view)
        return [
            self._slot(view, shot, line, settings) for shot in view.shots for line in shot.get("lines", ())
        ]

    def _slot(self, view: StoryView, shot: Doc, line: Doc, settings: dict[str | None, Doc]) -> Slot:
        setting = settings.get(line["character_id"])
        label = f"Voice {shot['code']} {speaker_name(view, line['character_id'])}"
        slot = f"voice:{line['id']}"
        basis = self._basis(shot, slot, setting) if setting else ""
        return shot_slot(view, shot, slot, label, basis)

    def _basis(self, shot: Doc, slot: str, setting: Doc) -> str:
        sound = (setting[key] for key in ("provider", "voice", "rate", "pitch", "language"))
        return basis_hash(self._stories.basis(shot, slot), *sound)

    async def plan(self, view: StoryView, slot: Slot, wish: Wish) -> Plan:
        """Fix text and voice of a line; the character gets its voice now if it has none."""
        shot = view.shot(slot.id) or await self._stories.shot(slot.id)
        line = next(line for line in shot["lines"] if f"voice:{line['id']}" == slot.slot)
        setting = (await self._voices.ensure(view, [line["character_id"]]))[line["character_id"]]
        choice = await self._voices.choice(setting, wish.provider, wish.overrides.get("voice"))
        given: dict[str, Any] = {
            **choice,
            "text": line["text"],
            "language": setting["language"],
            "rate": wish.overrides.get("rate") or setting["rate"],
            "pitch": setting["pitch"] if wish.overrides.get("pitch") is None else wish.overrides["pitch"],
            "character_id": line["character_id"],
            "basis": self._basis(shot, slot.slot, setting),
            "shot_basis": self._stories.basis(shot, slot.slot),
        }
        return Plan(slot, given, provider=given.pop("provider"))

    async def request(self, job: Doc) -> VoiceRequest:
        """Build the provider's request from the order."""
        given = job["input"]
        kept = {key: given[key] for key in ("text", "voice", "language", "rate", "pitch")}
        return VoiceRequest(job_id=job["_id"], model=job["model"], **kept)
