"""Subtitles: cues by words."""

from __future__ import annotations

import re

import pysubs2
import pytest

from studio import WordTiming
from studio_local.film.subtitles import (
    LINE_CHARACTERS,
    film_cues,
    line_characters,
    line_cues,
    timed_words,
    to_ass,
    to_srt,
    to_vtt,
)
from studio_workbench.api import FilmLine

pytestmark = pytest.mark.pure


def line(text, duration_ms=4000, words=()):
    timed = tuple(WordTiming(text=t, start_ms=s, end_ms=e) for t, s, e in words)
    return FilmLine(audio=None, start_ms=0, duration_ms=duration_ms, text=text, words=timed)


def test_engine_words_are_used_where_they_make_up_the_text():
    words = (("want —", 0, 500), ("money?", 500, 900))
    assert [(w.text, w.start_ms) for w in timed_words(line("want — money?", words=words))] == [
        ("want —", 0),
        ("money?", 500),
    ]


def test_bare_engine_words_get_the_texts_punctuation():
    words = (("yes", 0, 300), ("now", 300, 700))
    assert [w.text for w in timed_words(line("Yes, now!", words=words))] == ["Yes,", "now!"]


def test_other_number_of_words_is_spread_over_the_spoken_time():
    words = (("forty", 100, 300), ("two", 300, 600))
    spread = timed_words(line("42", words=words))
    assert [(w.text, w.start_ms, w.end_ms) for w in spread] == [("42", 100, 600)]


def test_without_timings_words_fill_the_line_in_order():
    spread = timed_words(line("one two three four", 2000))
    times = [t for w in spread for t in (w.start_ms, w.end_ms)]
    assert times == sorted(times)
    assert (times[0], times[-1]) == (0, 2000)


def test_empty_text_has_no_cue():
    assert line_cues(0, line("   ")) == []


def test_long_lines_become_several_cues_of_two_lines():
    text = "word " * 60
    cues = line_cues(1000, line(text, 20000))
    assert len(cues) > 2
    assert " ".join(cue.text for cue in cues) == text.strip()
    for event in pysubs2.SSAFile.from_string(to_srt(cues)):
        rows = event.plaintext.split("\n")
        assert len(rows) <= 2
        assert max(map(len, rows)) <= LINE_CHARACTERS


def test_overlapping_lines_are_cut_at_the_next_start():
    cues = film_cues([(0, line("first line here", 3000)), (2500, line("second", 1000))], 9000)
    assert cues[0].end_ms == 2500
    assert cues[1].start_ms == 2500


@pytest.mark.parametrize(
    ("size", "characters"), [((1280, 720), 42), ((720, 720), 24), ((720, 1280), 24), ((1920, 816), 42)]
)
def test_two_lines_fit_into_a_frame_of_any_shape(size, characters):
    assert line_characters(*size) == characters
    text = "I have been standing out here in the pouring rain for what feels like the better part of it"
    cues = film_cues([(0, line(text, 9000))], 9000, characters)
    subtitles = pysubs2.SSAFile.from_string(to_ass(cues, *size))
    style = subtitles.styles["Default"]
    for event in subtitles:
        rows = event.plaintext.split("\n")
        assert len(rows) <= 2
        assert max(map(len, rows)) * 0.65 * style.fontsize <= size[0] - style.marginl - style.marginr + 1
    assert style.fontsize >= 0.9 * min(size) / 18


def test_short_cue_stands_a_second_where_there_is_room():
    lines = [(0, line("No.", 340)), (600, line("Yes.", 400)), (5000, line("Hm.", 300))]
    assert [(cue.start_ms, cue.end_ms) for cue in film_cues(lines, 9000)] == [
        (0, 600), (600, 1600), (5000, 6000),
    ]  # fmt: skip
    assert film_cues(lines, 5500)[-1].end_ms == 5500
    assert [cue.end_ms for cue in film_cues([(0, line("A longer one.", 2000))], 9000)] == [2000]


def test_braces_and_backslashes_are_spoken_and_not_obeyed():
    cues = line_cues(0, line("{\\b1}bold \\N new"))
    text = pysubs2.SSAFile.from_string(to_ass(cues, 1280, 720)).events[0].plaintext
    assert "(/b1)bold" in text
    assert "/N" in text


def test_vtt_escapes_markup():
    text = to_vtt(line_cues(0, line("a <b> & c")))
    assert "a &lt;b&gt; &amp; c" in re.sub(r"<\d\d:\d\d:\d\d\.\d{3}>", "", text)


def test_srt_of_nobody_speaking_is_empty():
    assert to_srt([]).strip() == ""


@pytest.mark.parametrize(("text", "encoding"), [("حالا.", -1), ("שלום", -1), ("Now.", 1)])
def test_right_to_left_lines_are_set_from_the_right(text, encoding):
    subtitles = pysubs2.SSAFile.from_string(to_ass(line_cues(0, line(text)), 1280, 720))
    assert subtitles.styles["Default"].encoding == encoding
