"""Voice settings: every character gets a voice of its own at the first need and keeps it."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections import Counter
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from studio import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    ProviderError,
    ProviderUnavailableError,
    UnavailableError,
)
from studio_stories.api import Stories

if TYPE_CHECKING:
    from collections.abc import Iterable

    from studio import Actor, Doc, PluginContext, VoiceInfo
    from studio_asset_gen.api import StoryView
    from studio_asset_gen.voice_models import VoiceSettingUpdate

COLLECTION = "voice_settings"
NARRATOR = "narrator"
LIST_KEPT_S = 300.0
CLOSE = 5


def setting_id(project_id: str, character_id: str | None) -> str:
    """Return the id of a character's setting; being derived, it cannot be there twice."""
    return f"{project_id}-{character_id or NARRATOR}"


def speaker_name(view: StoryView, character_id: str | None) -> str:
    """Return who speaks; nobody's lines are the narrator's."""
    return str(view.characters.get(character_id or "", {}).get("name", "Narrator"))


class VoiceService:
    """Assigns, changes and finds voices."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._assigning = asyncio.Lock()
        self._lists: dict[str, tuple[float, list[VoiceInfo]]] = {}

    # ------------------------------------------------------------ what providers offer

    async def voices(self, provider: str | None = None) -> tuple[str, list[VoiceInfo]]:
        """Return the provider's name and its voices; a list is asked again after five minutes."""
        bound = self._ctx.providers.get("voice", provider)
        kept = self._lists.get(bound.name)
        if kept is None or time.monotonic() - kept[0] > LIST_KEPT_S:
            kept = self._lists[bound.name] = (time.monotonic(), await bound.voices())
        return bound.name, kept[1]

    async def list_voices(self, provider: str | None, language: str | None) -> list[Doc]:
        """Return the voices of a provider, of one language if asked."""
        name, found = await self.voices(provider)
        chosen = [voice for voice in found if language is None or _speaks(voice, language)]
        return [{"provider": name, **voice.model_dump()} for voice in chosen]

    async def check(self, provider: str | None, voice: str) -> tuple[str, str]:
        """Return provider and id of a voice; raises InvalidInputError naming what comes close."""
        name, found = await self.voices(provider)
        for info in found:
            if voice == info.id or voice.casefold() == info.name.casefold():
                return name, info.id
        terms = {term.casefold(): info.id for info in found for term in (info.name, info.id)}
        close = get_close_matches(voice.casefold(), terms, n=CLOSE, cutoff=0.4)
        ids = list(dict.fromkeys(terms[term] for term in close)) or [info.id for info in found[:CLOSE]]
        raise InvalidInputError(
            f"{name} has no voice {voice!r}. Close to it: {', '.join(ids)}.",
            code="unknown_voice",
            errors=[{"pointer": "/voice", "message": "No such voice"}],
            voices=ids,
        )

    # ------------------------------------------------------------ settings

    async def known(self, view: StoryView) -> dict[str | None, Doc]:
        """Return the settings that are there, by character."""
        found = await self._ctx.database[COLLECTION].find({"project_id": view.project["_id"]})
        return {setting["character_id"]: setting for setting in found}

    async def list_settings(self, view: StoryView) -> list[Doc]:
        """Return one row per character and the narrator's; one without a voice says `assigned: false`."""
        known = await self.known(view)
        return [
            {
                "_id": setting_id(view.project["_id"], one),
                "project_id": view.project["_id"],
                "character_id": one,
            }
            | (known.get(one) or {"assigned": False})
            | {"name": speaker_name(view, one)}
            for one in (*view.characters, None)
        ]

    async def setting(self, setting_id: str) -> Doc:
        """Return a setting; raises NotFoundError."""
        found = await self._ctx.database[COLLECTION].get(setting_id)
        if found is None:
            raise NotFoundError(
                "This character has no voice yet: PUT a voice setting, or generate a line of it."
            )
        return found

    async def ensure(self, view: StoryView, characters: Iterable[str | None]) -> dict[str | None, Doc]:
        """Return the settings of `characters`; whoever has none gets a voice of its own, for good."""
        known = await self.known(view)
        missing = [one for one in dict.fromkeys(characters) if one not in known]
        if missing:
            async with self._assigning:
                known = await self.known(view)
                for one in missing:
                    if one not in known:
                        known[one] = await self._assign(view, one, known.values())
        return known

    async def _assign(self, view: StoryView, character_id: str | None, taken: Iterable[Doc]) -> Doc:
        provider, offered = await self.voices()
        language = str(view.story.get("language") or view.project.get("language") or "en")
        used = Counter(doc["voice"] for doc in taken if doc["provider"] == provider)
        name = speaker_name(view, character_id)
        setting = {
            "_id": setting_id(view.project["_id"], character_id),
            "project_id": view.project["_id"],
            "character_id": character_id,
            "name": name,
            "provider": provider,
            "voice": _pick(_of_language(offered, language), name, used),
            "language": language,
            "rate": 165,
            "pitch": 50,
            "fallback": await self._fallback(provider, language, name),
            "auto": True,
        }
        try:
            return await self._ctx.database[COLLECTION].insert(setting)
        except ConflictError:  # another process was faster; its choice counts
            return await self.setting(setting["_id"])

    async def _fallback(self, provider: str, language: str, name: str) -> list[Doc]:
        """Choose a voice at each other provider that is on."""
        found: list[Doc] = []
        for other in self._others(provider):
            try:
                _, offered = await self.voices(other)
                found.append(
                    {"provider": other, "voice": _pick(_of_language(offered, language), name, Counter())}
                )
            except (ProviderError, UnavailableError):  # one that is away now is no fallback
                continue
        return found

    def _others(self, provider: str) -> list[str]:
        offers = [
            row for row in self._ctx.providers.describe() if row["capability"] == "voice" and row["available"]
        ]
        return [row["provider"] for row in offers if row["provider"] != provider]

    async def choice(self, setting: Doc, provider: str | None, voice: str | None) -> Doc:
        """Return {provider, voice, fallbacks}: the caller's choice, else the setting's, else what works."""
        if voice is not None or provider not in (None, setting["provider"]):
            return await self._chosen(setting, provider or setting["provider"], voice)
        choices = [{"provider": setting["provider"], "voice": setting["voice"]}, *setting["fallback"]]
        usable = [choice for choice in choices if self._usable(choice["provider"])] or choices
        return {**usable[0], "fallbacks": usable[1:]}

    async def _chosen(self, setting: Doc, provider: str, voice: str | None) -> Doc:
        if voice is None:
            known = [choice["voice"] for choice in setting["fallback"] if choice["provider"] == provider]
            _, offered = await self.voices(provider)
            voice = (
                known[0]
                if known
                else _pick(_of_language(offered, setting["language"]), setting["name"], Counter())
            )
        name, voice_id = await self.check(provider, voice)
        return {"provider": name, "voice": voice_id, "fallbacks": setting["fallback"]}

    def _usable(self, provider: str) -> bool:
        try:
            self._ctx.providers.get("voice", provider)
        except (ProviderUnavailableError, InvalidInputError):
            return False
        return True

    async def update_setting(self, actor: Actor, view: StoryView, body: VoiceSettingUpdate) -> Doc:
        """Give a character another voice; its lines that were spoken in the old one become stale."""
        if body.character_id is not None and body.character_id not in view.characters:
            raise NotFoundError("There is no such character in this story.")
        current = (await self.ensure(view, [body.character_id]))[body.character_id]
        fields = body.model_dump(exclude_none=True, exclude={"story_id", "character_id"})
        if body.voice is not None or body.provider is not None:
            fields |= await self._checked_voice(current, body)
        if body.fallback is not None:
            checked = [await self.check(choice.provider, choice.voice) for choice in body.fallback]
            fields["fallback"] = [{"provider": provider, "voice": voice} for provider, voice in checked]
        updated = await self._ctx.database[COLLECTION].find_and_update(
            current["_id"], {"$set": {**fields, "auto": False}}
        )
        if updated is None:
            raise NotFoundError
        await self._mark_stale(view, current, updated)
        self._log(actor, updated)
        return updated

    async def _checked_voice(self, current: Doc, body: VoiceSettingUpdate) -> Doc:
        provider = body.provider or current["provider"]
        if body.voice is None:
            _, offered = await self.voices(provider)
            voice = _pick(_of_language(offered, current["language"]), current["name"], Counter())
            return {"provider": provider, "voice": voice}
        name, voice = await self.check(provider, body.voice)
        return {"provider": name, "voice": voice}

    async def _mark_stale(self, view: StoryView, before: Doc, after: Doc) -> None:
        """Mark the spoken lines in the story: pointing a slot at its take from another basis does."""
        if all(before[key] == after[key] for key in ("provider", "voice", "rate", "pitch", "language")):
            return
        stories = self._ctx.service(Stories)  # type: ignore[type-abstract]  # a protocol is the key it is asked by
        for shot in view.shots:
            for line in shot.get("lines", ()):
                slot = f"voice:{line['id']}"
                take = (shot.get("current") or {}).get(slot)
                if take and line["character_id"] == after["character_id"]:
                    await stories.set_current(shot["_id"], slot, take, basis="", why="voice_changed")

    def _log(self, actor: Actor, setting: Doc) -> None:
        about = {"type": "voice_setting", "id": setting["_id"], "name": setting["name"]}
        params: dict[str, Any] = {"name": setting["name"], "voice": setting["voice"]}
        self._ctx.activity.log_activity(setting["project_id"], actor, "voice_setting.updated", about, params)


def _of_language(offered: list[VoiceInfo], language: str) -> list[VoiceInfo]:
    """Return the voices of a language, or all of them when none speaks it."""
    fitting = [voice for voice in offered if _speaks(voice, language)] or offered
    if not fitting:
        raise ProviderUnavailableError("The voice provider offers no voice at all; choose another provider.")
    return fitting


def _speaks(voice: VoiceInfo, language: str) -> bool:
    return not voice.language or voice.language.casefold().split("-")[0] == language.casefold().split("-")[0]


def _pick(offered: list[VoiceInfo], name: str, used: Counter[str]) -> str:
    """Return one of the least used voices; which one depends on the name alone."""
    least = min(used[voice.id] for voice in offered)
    free = [voice for voice in offered if used[voice.id] == least]
    return free[zlib.crc32(name.casefold().encode()) % len(free)].id
