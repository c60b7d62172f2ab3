"""`LocalVoiceGenerator`: espeak-ng voices, each engine in a process of its own."""

from __future__ import annotations

import difflib
import importlib.util
from typing import TYPE_CHECKING, Any

from studio import (
    MediaFile,
    ProviderRejectedError,
    ProviderUnavailableError,
    VoiceInfo,
    VoiceRequest,
    WordTiming,
)
from studio_local.ffmpeg import INSTALL
from studio_local.files import replacing_later
from studio_local.jobs import Job, LocalGenerator, Outcome
from studio_local.runtime import LocalRuntime, runtime_of

if TYPE_CHECKING:
    from collections.abc import Iterable

PEOPLE = ("f1", "f2", "f3", "f4", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8")
"""The engine's variants that sound like persons, offered with every language; the rest can be named."""
OTHER_SCRIPTS = frozenset({"en-shaw"})
"""Voices that read an alphabet in which no script is written."""
_SAME_AS = {"zh": "cmn"}
"""Languages that the engine calls by another name: texts say "zh", the engine lists Mandarin as "cmn"."""
_WRITTEN_AS = {engine: usual for usual, engine in _SAME_AS.items()}
_RATES = range(80, 451)
_PITCHES = range(101)
_LONGEST = 5000


class LocalVoiceGenerator(LocalGenerator[VoiceRequest]):
    """Speaks lines to WAV (22,050 Hz, mono) with the engine's own word timings."""

    kind = "voice"
    request_type = VoiceRequest

    def __init__(self, ctx: Any) -> None:
        self._runtime: LocalRuntime = runtime_of(ctx)
        self._known: tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]] | None = None
        super().__init__(self._runtime.jobs)

    async def voices(self) -> list[VoiceInfo]:
        """List every language alone and with each person's variant."""
        bases, variants = await self._catalogue()
        people = {name: variants[name] for name in PEOPLE if name in variants}
        listed = []
        for base, voice in ((b, v) for b, v in bases.items() if b not in OTHER_SCRIPTS):
            listed.append(_info(base, voice, voice["gender"], ()))
            listed += [_info(f"{base}+{name}", voice, who["gender"], (name,)) for name, who in people.items()]
        return listed

    async def check(self, request: VoiceRequest) -> None:
        """Refuse a voice that the engine does not list, and naming close ones; refuse an unspeakable text."""
        await self._identifier(request)
        if not request.text.strip() or len(request.text) > _LONGEST:
            raise ProviderRejectedError(f"A line needs 1 to {_LONGEST} characters.", input="text")
        if request.rate not in _RATES or request.pitch not in _PITCHES:
            asked = f"not rate {request.rate} and pitch {request.pitch}"
            message = f"The rate goes from 80 to 450 words a minute, the pitch from 0 to 100, {asked}."
            raise ProviderRejectedError(message, input="voice")

    async def produce(self, request: VoiceRequest, job: Job) -> Outcome:
        """Speak one line."""
        voice = await self._identifier(request)
        target = job.folder / "voice.wav"
        payload = {
            "text": request.text,
            "voice": voice,
            "rate": request.rate,
            "pitch": min(request.pitch, 99),
        }
        async with replacing_later(target) as part:
            spoken = await self._call("speak", payload | {"out": str(part)})
        words = tuple(WordTiming(**word) for word in spoken["words"])
        length = spoken["duration_ms"]
        return Outcome((MediaFile(mime="audio/wav", path=target, duration_ms=length, words=words),))

    async def _identifier(self, request: VoiceRequest) -> str:
        """Return what the engine calls the voice ("": the language's own); raises ProviderRejectedError."""
        bases, variants = await self._catalogue()
        name = request.voice or request.language
        base, _, variant = name.partition("+")
        known = _SAME_AS.get(base.lower(), base.lower())
        if known in bases and (not variant or variant in variants):
            voice = bases[known]["identifier"]
            return f"{voice}+{variant}" if variant else voice
        close = ", ".join(_close_to(name.lower(), bases, variants))
        message = f"The voice {name!r} does not exist. Close to it: {close}."
        raise ProviderRejectedError(message, input="voice")

    async def _catalogue(self) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
        """Return voices and variants by the names that requests use; asked of the engine once."""
        if self._known is None:
            found = await self._call("voices", {})
            bases = {voice["identifier"].split("/")[-1].lower(): voice for voice in found["voices"]}
            variants = {voice["identifier"].removeprefix("!v/"): voice for voice in found["variants"]}
            self._known = bases, variants
        return self._known

    async def _call(self, task: str, payload: dict[str, Any]) -> dict[str, Any]:
        if importlib.util.find_spec("espeakng_loader") is None:
            raise ProviderUnavailableError(f"The local voice needs espeak-ng: {INSTALL}.")
        deadline_s = self._runtime.settings.child_deadline_s
        return await self._runtime.espeak.call(task, payload, deadline_s=deadline_s)


def _close_to(name: str, bases: Iterable[str], variants: Iterable[str]) -> list[str]:
    """Return up to four voices that exist: of the same language, with the variant most like this one."""
    base, _, variant = name.partition("+")
    language = base.split("-", maxsplit=1)[0]
    related = [known for known in bases if known.split("-", maxsplit=1)[0] == language] or list(bases)
    nearest = difflib.get_close_matches(base, related, n=4, cutoff=0.0)
    like = difflib.get_close_matches(
        variant, [known for known in variants if known.islower()], n=1, cutoff=0.0
    )
    return [f"{known}+{like[0]}" if variant and like else known for known in nearest]


def _info(voice_id: str, voice: dict[str, str], gender: str, tags: tuple[str, ...]) -> VoiceInfo:
    name = f"{voice['name']}, {tags[0]}" if tags else voice["name"]
    language = _WRITTEN_AS.get(voice["language"], voice["language"])
    return VoiceInfo(id=voice_id, name=name, language=language, gender=gender, tags=tags)
