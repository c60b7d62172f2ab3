"""The voice program: one espeak-ng engine per process; the library keeps global state and is GPL-3.0.

Started as `python -m studio_local.espeak_child <parent pid> <memory MB>`.
Source of structures and numbers: espeak-ng, `speak_lib.h`.
"""

from __future__ import annotations

import ctypes
import wave
from functools import lru_cache
from typing import Any

from studio_local.children.serve import MissingPackageError, RejectedInputError, serve

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_UTF8 = 1
_POS_CHARACTER = 1
_RATE, _PITCH = 1, 3
_EVENT_END, _EVENT_WORD = 0, 1
_BUFFER_MS = 200
_FEMALE = 2
_UNSPOKEN_MS = 1000
"""How long a line of which nothing is spoken ("...") lasts."""


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p), ("languages", ctypes.c_void_p), ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte), ("age", ctypes.c_ubyte), ("variant", ctypes.c_ubyte), ("xx1",
            ctypes.c_ubyte),
        ("score", ctypes.c_int), ("spare", ctypes.c_void_p),
    )  # fmt: skip


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("id", _EventId),
    )  # fmt: skip


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Engine:
    """The library, initialised; collects samples and word events of one synthesis at a time."""

    def __init__(self) -> None:
        try:
            import espeakng_loader  # type: ignore[import-untyped]  # noqa: PLC0415 - optional, untyped; absence is an answer
        except ImportError as error:
            message = "No espeak-ng: install it with `pip install 'studio-provider-local[media]'`."
            raise MissingPackageError(message) from error
        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.sample_rate = self.library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, _BUFFER_MS, data, _DONT_EXIT
        )
        if self.sample_rate <= 0:
            raise MissingPackageError("espeak-ng did not start: its data folder is damaged, reinstall it.")
        self.library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        self._callback = _Callback(self._collect)
        self.library.espeak_SetSynthCallback(self._callback)
        self.samples = bytearray()
        self.words: list[tuple[int, int, int]] = []

    def list_voices(self, languages: bytes | None = None) -> list[dict[str, Any]]:
        """Return the engine's voices, or its variants for `languages=b"variant"`."""
        wanted = _Voice()
        buffer = ctypes.create_string_buffer((languages or b"") + b"\0")
        wanted.languages = ctypes.cast(buffer, ctypes.c_void_p)
        found = self.library.espeak_ListVoices(ctypes.byref(wanted) if languages else None)
        voices: list[dict[str, Any]] = []
        while found[len(voices)]:
            voices.append(_described(found[len(voices)].contents))
        return voices

    def speak(self, text: str, voice: str, rate: int, pitch: int) -> None:
        """Fill `samples` and `words` (first character, length, start in ms)."""
        self.samples.clear()
        self.words.clear()
        if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise RejectedInputError(f"The voice {voice!r} does not exist.", "voice")
        self.library.espeak_SetParameter(_RATE, rate, 0)
        self.library.espeak_SetParameter(_PITCH, pitch, 0)
        raw = text.encode() + b"\0"
        code = self.library.espeak_Synth(raw, len(raw), 0, _POS_CHARACTER, 0, _UTF8, None, None)
        if code != 0 or self.library.espeak_Synchronize() != 0:
            raise RejectedInputError(f"espeak-ng refused the text (code {code}).", "text")

    def _collect(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self.samples += ctypes.string_at(samples, count * 2)
        index = 0
        while events[index].type != _EVENT_END:
            event = events[index]
            if event.type == _EVENT_WORD:
                self.words.append((event.text_position - 1, event.length, event.audio_position))
            index += 1
        return 0


@lru_cache(maxsize=1)
def engine() -> Engine:
    """Return this process's one engine."""
    return Engine()


def voices(payload: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - every task takes a payload
    """Return the voices that can really be set, and the variants: {"voices": [...], "variants": [...]}."""
    speaker = engine()
    usable = [
        voice
        for voice in speaker.list_voices()
        if speaker.library.espeak_SetVoiceByName(voice["identifier"].encode()) == 0
    ]
    variants = speaker.list_voices(b"variant")
    return {"voices": usable, "variants": [v for v in variants if v["identifier"].startswith("!v/")]}


def speak(payload: dict[str, Any]) -> dict[str, Any]:
    """Write one line to the WAV file `out`; return its length and when each word is spoken."""
    speaker, text = engine(), payload["text"]
    speaker.speak(text, payload["voice"], payload["rate"], payload["pitch"])
    if not speaker.samples:
        raise RejectedInputError("There is nothing to say in this text.", "text")
    if not speaker.words:
        speaker.samples.extend(
            bytes(max(0, speaker.sample_rate * 2 * _UNSPOKEN_MS // 1000 - len(speaker.samples)))
        )
    with wave.open(payload["out"], "wb") as file:
        file.setparams((1, 2, speaker.sample_rate, 0, "NONE", "not compressed"))
        file.writeframes(bytes(speaker.samples))
    length_ms = len(speaker.samples) // 2 * 1000 // speaker.sample_rate
    return {"duration_ms": length_ms, "words": timed_words(text, speaker.words, length_ms)}


def timed_words(text: str, events: list[tuple[int, int, int]], length_ms: int) -> list[dict[str, Any]]:
    """Join the engine's word events to the text's words, punctuation included.

    The engine splits "don't-know" and speaks "42" as several words: what begins inside one written word is
    that word's. What it does not speak (a lone dash) belongs to the word before. A text of which it speaks
    nothing ("...") is one word of silence.
    """
    spans = _spans(text)
    heard: dict[int, int] = {}
    for first, _, start_ms in events:
        index = next((i for i, span in enumerate(spans) if span[0] <= first < span[1]), None)
        if index is not None:
            heard.setdefault(index, min(start_ms, length_ms))
    starts = sorted(heard)
    if not starts:
        return [{"text": " ".join(text.split()), "start_ms": 0, "end_ms": length_ms}] if spans else []
    words = []
    for index, after in zip(starts, [*starts[1:], len(spans)], strict=True):
        begin = spans[0][0] if index == starts[0] else spans[index][0]
        end_ms = heard.get(after, length_ms)
        said = text[begin : spans[after - 1][1]]
        words.append({"text": said, "start_ms": heard[index], "end_ms": max(end_ms, heard[index])})
    return words


def _spans(text: str) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    at = 0
    for word in text.split():
        at = text.index(word, at)
        spans.append((at, at + len(word)))
        at += len(word)
    return spans


def _described(voice: _Voice) -> dict[str, Any]:
    languages = ctypes.string_at(voice.languages)[1:].decode(errors="replace") if voice.languages else ""
    return {
        "name": voice.name.decode(errors="replace"), "identifier": voice.identifier.decode(errors="replace"),
        "language": languages, "gender": "female" if voice.gender == _FEMALE else "male",
    }  # fmt: skip


if __name__ == "__main__":
    serve({"speak": speak, "voices": voices})
