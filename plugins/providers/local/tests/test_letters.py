"""Letters that no font has are not burned in as boxes."""

from __future__ import annotations

import pytest

from studio_local.film.letters import shown
from studio_local.film.subtitles import line_cues, to_ass
from studio_local.runtime import runtime_of
from studio_workbench.api import FilmLine

pytestmark = pytest.mark.child
NOWHERE = "\U000f1234"
"""A letter for private use, which no font of letters has."""


def ass(text):
    line = FilmLine(audio=None, start_ms=0, duration_ms=2000, text=text)
    return to_ass(line_cues(0, line), 640, 360)


@pytest.fixture
def look(warm, tmp_path):
    return lambda text: shown([ass(text)], tmp_path, runtime_of(warm).ffmpeg)


async def test_letter_that_no_font_has_is_left_out(look):
    assert await look(f"I love {NOWHERE}.") == [ass(f"I love {NOWHERE}.").replace(NOWHERE, "")]


async def test_text_that_no_font_has_is_left_out_whole(tmp_path):
    asked = []

    class Fontless:
        async def warnings(self, arguments, *, cwd):
            asked.append(arguments)
            assert (cwd / "letters.ass").is_file()
            return "".join(
                f"failed to find any fallback with glyph 0x{ord(c):X} for font\n" for c in "你好吗"
            )

    mixed, plain = ass("We say 你好吗 there."), ass("Good.")
    found = await shown([ass("你好吗?"), mixed, plain, ""], tmp_path, Fontless())
    assert found == ["", mixed.replace("你好吗", ""), plain, ""]
    assert len(asked) == 1


async def test_letters_of_the_shipped_font_are_asked_of_nobody(tmp_path):
    for text in ("Grüße, Ærø!", "Привет", "שלום", "حالا", "“Ça va…” — €5"):
        assert await shown([ass(text)], tmp_path, None) == [ass(text)]
