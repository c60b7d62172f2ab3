"""Subtitles timed by the spoken words: SRT, VTT and ASS, for the film and for burning into one shot."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pysubs2

from studio import WordTiming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from studio_workbench.api import FilmLine

FONT = "DejaVu Sans"
LINE_CHARACTERS = 42
"""Longest subtitle line. Source: the usual limit of broadcasters' style guides."""
SHORTEST_MS = 1000
"""How long a subtitle stands at least. Source: style guides of broadcasters, 5/6 s to 1 s."""
_LINES = 2
_FEWEST_CHARACTERS = 24
_WIDE = 16 / 9
_LETTER_EM = 0.65
"""How wide a letter of the bold font is, in its size; rather too much than too little."""
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_DIRECTION_OF_TEXT = -1
"""Style encoding with which libass takes a line's direction from its letters. Source: libass, ass_types.h."""


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle: its words with their times in ms (from where the caller's clock starts)."""

    words: tuple[WordTiming, ...]
    speaker: str = ""
    characters: int = LINE_CHARACTERS

    @property
    def start_ms(self) -> int:
        """When it appears."""
        return self.words[0].start_ms

    @property
    def end_ms(self) -> int:
        """When it disappears."""
        return self.words[-1].end_ms

    @property
    def text(self) -> str:
        """What it says, on one line."""
        return " ".join(word.text for word in self.words)


def timed_words(line: FilmLine) -> list[WordTiming]:
    """Return the line's own words, punctuation included, with the times at which they are spoken.

    The engine's words are used as they are where they make up the text, one to one where only their number
    agrees, and spread over it otherwise; without an engine's timing each word gets time by its length.
    """
    tokens = line.text.split()
    if not tokens:
        return []
    if " ".join(tokens) == " ".join(" ".join(word.text.split()) for word in line.words):
        return list(line.words)
    if len(tokens) == len(line.words):
        pairs = zip(tokens, line.words, strict=True)
        return [word.model_copy(update={"text": token}) for token, word in pairs]
    first, last = (line.words[0].start_ms, line.words[-1].end_ms) if line.words else (0, line.duration_ms)
    return _spread(tokens, first, max(last, first + len(tokens)))


def line_characters(width: int, height: int) -> int:
    """Return the longest subtitle line of a frame: 42 when it is wide, 24 when it is square or upright."""
    return max(_FEWEST_CHARACTERS, min(LINE_CHARACTERS, round(LINE_CHARACTERS * width / height / _WIDE)))


def line_cues(start_ms: float, line: FilmLine, characters: int = LINE_CHARACTERS) -> list[Cue]:
    """Cut a line into cues of at most two lines of so many characters, each shown while it is spoken."""
    words = [_moved(word, start_ms) for word in timed_words(line)]
    cues: list[Cue] = []
    while words:
        size = _fitting(words, characters)
        cues.append(Cue(tuple(words[:size]), line.speaker, characters))
        words = words[size:]
    return cues


def film_cues(
    lines: Iterable[tuple[float, FilmLine]], until_ms: float, characters: int = LINE_CHARACTERS
) -> list[Cue]:
    """Return the cues of all lines, in order, none overlapping the next or the end at `until_ms`.

    One that is spoken faster than it is read stands on while there is room.
    """
    cues = sorted(
        (cue for start, line in lines for cue in line_cues(start, line, characters)),
        key=lambda cue: cue.start_ms,
    )
    limits = [*(after.start_ms for after in cues[1:]), int(until_ms)][: len(cues)]
    return [_cut(_held(cue, limit), limit) for cue, limit in zip(cues, limits, strict=True)]


def to_srt(cues: Sequence[Cue]) -> str:
    """Return SubRip text."""
    return _file(cues, _wrapped).to_string("srt")


def to_vtt(cues: Sequence[Cue]) -> str:
    """Return WebVTT text with a time stamp before each word. Source: WebVTT, section 4.2.2, cue timestamp."""
    blocks = [f"{_stamp(cue.start_ms)} --> {_stamp(cue.end_ms)}\n{_vtt_text(cue)}\n" for cue in cues]
    return "WEBVTT\n\n" + "\n".join(blocks)


def to_ass(cues: Sequence[Cue], width: int, height: int) -> str:
    """Return Advanced SubStation text in the shipped font, each word lit when it is spoken."""
    subtitles = _file(cues, _karaoke)
    subtitles.info |= {"PlayResX": str(width), "PlayResY": str(height), "WrapStyle": "0"}
    subtitles.info["ScaledBorderAndShadow"] = "yes"
    subtitles.styles["Default"] = _style(width, height)
    if any(_RIGHT_TO_LEFT.search(cue.text) for cue in cues):
        subtitles.styles["Default"].encoding = _DIRECTION_OF_TEXT
    return subtitles.to_string("ass")


def _style(width: int, height: int) -> pysubs2.SSAStyle:
    side = min(height / 8, width * 0.07)
    room = (width - 2 * side) / (line_characters(width, height) * _LETTER_EM)
    return pysubs2.SSAStyle(
        fontname=FONT, fontsize=min(height / 18, room), bold=True,
        primarycolor=pysubs2.Color(255, 255, 255), secondarycolor=pysubs2.Color(196, 202, 212),
        outlinecolor=pysubs2.Color(12, 14, 18), backcolor=pysubs2.Color(0, 0, 0, 120),
        outline=max(1.5, min(height, width) / 300), shadow=1,
        marginl=int(side), marginr=int(side), marginv=int(height / 14),
    )  # fmt: skip


def _file(cues: Sequence[Cue], text: Callable[[Cue], str]) -> pysubs2.SSAFile:
    subtitles = pysubs2.SSAFile()
    for cue in cues:
        event = pysubs2.SSAEvent(start=cue.start_ms, end=cue.end_ms, text=text(cue), name=cue.speaker)
        subtitles.events.append(event)
    return subtitles


def _karaoke(cue: Cue) -> str:
    r"""Return the words with `\k` times; their sum is the cue's length in centiseconds."""
    ends = [word.start_ms for word in cue.words[1:]] + [cue.end_ms]
    parts: list[str] = []
    done = cue.start_ms // 10
    for word, end in zip(cue.words, ends, strict=True):
        parts.append(f"{{\\k{max(0, end // 10 - done)}}}{_plain(word.text)}")
        done = max(done, end // 10)
    return _wrapped_words(parts, cue)


def _plain(text: str) -> str:
    """Keep a spoken brace or backslash from becoming a formatting code."""
    return text.replace("\\", "/").replace("{", "(").replace("}", ")")


def _wrapped(cue: Cue) -> str:
    text = _plain(cue.text)
    return "\\N".join(textwrap.wrap(text, cue.characters, break_long_words=False)) or text


def _wrapped_words(parts: list[str], cue: Cue) -> str:
    lines = textwrap.wrap(cue.text, cue.characters, break_long_words=False, break_on_hyphens=False)
    counts = [len(line.split()) for line in lines]
    rows: list[str] = []
    for count in counts:
        rows.append(" ".join(parts[:count]))
        parts = parts[count:]
    return "\\N".join(rows)


def _vtt_text(cue: Cue) -> str:
    said = " ".join(f"<{_stamp(word.start_ms)}>{_escaped(word.text)}" for word in cue.words)
    said = said.split(">", 1)[1]  # the first word appears with its cue
    return f"<v {_escaped(cue.speaker)}>{said}" if cue.speaker else said


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _stamp(ms: int) -> str:
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


def _moved(word: WordTiming, by_ms: float) -> WordTiming:
    start = round(word.start_ms + by_ms)
    end = max(round(word.end_ms + by_ms), start + 1)
    return WordTiming(text=word.text, start_ms=start, end_ms=end)


def _held(cue: Cue, limit_ms: int) -> Cue:
    """Keep a short cue on the screen for `SHORTEST_MS`, or until the next one comes."""
    end = min(cue.start_ms + SHORTEST_MS, limit_ms)
    if end <= cue.end_ms:
        return cue
    return replace(cue, words=(*cue.words[:-1], cue.words[-1].model_copy(update={"end_ms": end})))


def _cut(cue: Cue, limit_ms: int) -> Cue:
    """Shorten a cue so that the next one finds the screen empty."""
    if cue.end_ms <= limit_ms or limit_ms <= cue.words[-1].start_ms:
        return cue
    return replace(cue, words=(*cue.words[:-1], cue.words[-1].model_copy(update={"end_ms": limit_ms})))


def _fitting(words: Sequence[WordTiming], characters: int) -> int:
    """Return how many of the words fit into one cue; at least one."""
    for size in range(len(words), 1, -1):
        text = " ".join(word.text for word in words[:size])
        if len(textwrap.wrap(text, characters, break_long_words=False)) <= _LINES:
            return size
    return 1


def _spread(tokens: list[str], start_ms: int, end_ms: int) -> list[WordTiming]:
    weights = [len(token) + 1 for token in tokens]
    total, done = sum(weights), 0
    words: list[WordTiming] = []
    for token, weight in zip(tokens, weights, strict=True):
        begin = start_ms + (end_ms - start_ms) * done // total
        done += weight
        end = start_ms + (end_ms - start_ms) * done // total
        words.append(WordTiming(text=token, start_ms=begin, end_ms=end))
    return words
