"""Letters that no font of this machine has: a row of boxes burned into a film says nothing.

The shipped font has the alphabets of Europe and the Near East; for others libass looks among the system's
fonts, and says which letters it finds nowhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from studio import WordTiming
from studio_local.files import link
from studio_local.film.segments import FONTS
from studio_local.film.subtitles import Cue, to_ass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from studio_local.ffmpeg import Ffmpeg

_RARE = re.compile("[^\u0000-\u06ff\u1e00-\u206f\u20a0-\u20bf]")
"""Beyond what the shipped font surely has."""
_NOWHERE = re.compile(r"failed to find any fallback with glyph 0x([0-9A-Fa-f]+)")
_JOINERS = "\u200d\ufe0f"


async def shown(subtitles: Sequence[str], folder: Path, ffmpeg: Ffmpeg) -> list[str]:
    """Return a film's ASS without the letters that cannot be shown; "" where these are most of a text.

    libass is asked once for all of them; texts in the shipped font's alphabets cost nothing.
    """
    rare = "".join(sorted(set(_RARE.findall("".join(subtitles)))))
    if not rare:
        return list(subtitles)
    link(folder / "fonts", FONTS)
    cue = Cue((WordTiming(text=rare, start_ms=0, end_ms=1000),))
    (folder / "letters.ass").write_text(to_ass([cue], 640, 360), encoding="utf-8")
    frame = ["-f", "lavfi", "-i", "color=s=640x360:r=1:d=1", "-vf", "subtitles=letters.ass:fontsdir=fonts"]
    said = await ffmpeg.warnings([*frame, "-frames:v", "1", "-f", "null", "-"], cwd=folder)
    missing = {int(code, 16) for code in _NOWHERE.findall(said)}
    return [_without(text, missing) if missing else text for text in subtitles]


def _without(subtitles: str, missing: set[int]) -> str:
    head, mark, events = subtitles.partition("[Events]")
    gone = dict.fromkeys([*missing, *map(ord, _JOINERS)])
    left = events.translate(gone)
    return head + mark + left if _letters(left) * 2 >= _letters(events) else ""


def _letters(events: str) -> int:
    """Count the letters that are said; formatting is in braces, and a text is the tenth field."""
    texts = (line.split(",", 9)[-1] for line in events.splitlines() if line.startswith("Dialogue:"))
    return sum(char.isalpha() for text in texts for char in re.sub(r"\{[^}]*\}|\\N", "", text))
