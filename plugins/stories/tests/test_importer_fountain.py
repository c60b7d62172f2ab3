from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio_stories.importer import ParsedElement, ParsedScene, ParsedStory, parse_story, to_fdx, to_fountain
from studio_stories.importer.headings import split_heading
from studio_stories.importer.names import cast_of, is_cue, split_cue

pytestmark = pytest.mark.pure
EXAMPLES = Path(__file__).parents[3] / "examples"


def parse(text: str, name: str = "a.fountain") -> ParsedStory:
    return parse_story(text.encode(), name, limit_bytes=1_000_000)


def one(text: str) -> ParsedScene:
    story = parse(f"INT. ROOM - DAY\n\n{text}")
    assert len(story.scenes) == 1
    return story.scenes[0]


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("INT. KITCHEN - NIGHT", ("INT", "KITCHEN", "NIGHT")),
        ("EXT. HOUSE - GARDEN - DAY", ("EXT", "HOUSE - GARDEN", "DAY")),
        ("int house", ("INT", "house", "")),
        ("INT./EXT. CAR – DAWN", ("INT/EXT", "CAR", "DAWN")),  # noqa: RUF001 - scripts use every dash
        ("I/E VAN - CONTINUOUS", ("INT/EXT", "VAN", "CONTINUOUS")),
        ("EST. PARIS - DAY", ("EXT", "PARIS", "DAY")),
        ("INT. HOUSE - KITCHEN", ("INT", "HOUSE - KITCHEN", "")),
        ("EXT. STRASSE - NACHT", ("EXT", "STRASSE", "NACHT")),
        ("INT. CAFÉ - NUIT", ("INT", "CAFÉ", "NUIT")),
        ("INNEN. KÜCHE - TAG", ("INT", "KÜCHE", "TAG")),
        ("AUSSEN. WALD - ABEND", ("EXT", "WALD", "ABEND")),
        ("EXT. ROOF - MOMENTS LATER", ("EXT", "ROOF", "MOMENTS LATER")),
        ("THE MOON", ("INT", "THE MOON", "")),
    ],
)
def test_heading_is_taken_apart(line, parts):
    found = split_heading(line)
    assert (found.int_ext, found.location, found.time_of_day) == parts


@pytest.mark.parametrize(
    ("cue", "parts"),
    [
        ("MAYA", ("MAYA", "", False)),
        ("MAYA (V.O.)", ("MAYA", "V.O.", False)),
        ("MAYA (CONT'D)", ("MAYA", "", False)),
        ("MAYA (O.S.) (CONT’D) ^", ("MAYA", "O.S.", True)),  # noqa: RUF001 - both apostrophes
        ("DR. OKAFOR (V.O.) (FILTERED)", ("DR. OKAFOR", "V.O., FILTERED", False)),
        ("TOM ^", ("TOM", "", True)),
        ("TOM (more)", ("TOM", "", False)),
    ],
)
def test_cue_loses_its_marks(cue, parts):
    assert split_cue(cue) == parts


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("MAYA", True),
        ("ÉLODIE", True),
        ("ИВАН", True),
        ("Maya", False),
        ("123", False),
        ("R2D2", True),
        ("", False),
    ],
)
def test_cue_is_upper_case_in_any_script(line, expected):
    assert is_cue(line) is expected


def test_cast_puts_spellings_together():
    cast = cast_of(["MAYA", "Maya", "MAYA", "TOM"])
    assert [(c.name, c.aliases, c.lines) for c in cast] == [("MAYA", ("Maya",), 3), ("TOM", (), 1)]


def test_scene_number_is_read_and_taken_off():
    scene = parse("INT. ROOM - DAY #12A#\n\nHe waits.").scenes[0]
    assert (scene.number, scene.heading) == ("12A", "INT. ROOM - DAY")


def test_scenes_without_number_are_numbered_round_the_given_ones():
    text = "INT. A\n\nx\n\nINT. B #1#\n\nx\n\nINT. C\n\nx"
    assert [scene.number for scene in parse(text).scenes] == ["2", "1", "3"]


def test_forced_heading_opens_a_scene_and_ellipsis_does_not():
    story = parse(".ÉGLISE\n\nSilence.\n\n...and then nothing.")
    assert [scene.heading for scene in story.scenes] == ["ÉGLISE"]
    assert story.scenes[0].elements[-1].text == "...and then nothing."


def test_fade_in_on_the_first_line_is_a_transition_and_no_title():
    story = parse("FADE IN:\n\nINT. ROOM - DAY\n\nHe waits.")
    assert len(story.scenes) == 1
    assert story.scenes[0].elements[0] == ParsedElement("transition", "FADE IN:")


def test_title_page_is_read_with_indented_lines():
    story = parse("Title:\n    **The Long**\n    Night\nAuthor: Ann\n\nINT. ROOM\n\nHe waits.")
    assert (story.title, story.author) == ("The Long Night", "Ann")


def test_title_falls_back_to_the_file_name():
    assert parse("INT. ROOM\n\nHe waits.", "my_first-film.fountain").title == "my first film"


def test_notes_and_boneyard_are_left_out_across_lines():
    scene = one("He [[is it him?]] waits.\n\n/* cut\n\nINT. CUT SCENE\n\n*/ She too.")
    assert [element.text for element in scene.elements] == ["He waits.", "She too."]


def test_unclosed_comment_swallows_nothing():
    scene = one("He waits /* forever.\n\nShe leaves.")
    assert [element.text for element in scene.elements] == ["He waits / * forever.", "She leaves."]


def test_sections_are_ignored_and_synopsis_is_kept():
    scene = one("# Act one\n\n= They meet.\n\nHe waits.")
    assert (scene.synopsis, len(scene.elements)) == ("They meet.", 1)


def test_lyrics_and_centred_text_lose_their_marks():
    scene = one("MAYA\n~La la la\n\n>THE END<")
    assert [element.text for element in scene.elements] == ["La la la", "THE END"]


def test_speech_with_parentheticals_becomes_elements():
    scene = one("MAYA (V.O.)\n(to (herself))\nHello.\nAgain.\n(beat)\nBye.")
    assert scene.elements == (
        ParsedElement("dialogue", "Hello. Again.", "MAYA", "to (herself)", "V.O."),
        ParsedElement("dialogue", "Bye.", "MAYA", "beat", "V.O."),
    )


def test_speech_may_begin_like_anything():
    scene = one("MAYA\n.38 special!\nInt. means interior.\n# not a section")
    assert scene.elements[0].text == ".38 special! Int. means interior. # not a section"


def test_dual_dialogue_marks_the_second_speaker():
    scene = one("MAYA\nYes!\n\nTOM ^\nNo!")
    assert [element.dual for element in scene.elements] == [False, True]


def test_two_spaces_keep_a_speech_together():
    assert one("MAYA\nOne.\n  \nTwo.").elements[0].text == "One. Two."


def test_upper_case_line_before_a_blank_is_action():
    assert one("BOOM!\n\nSmoke.").elements[0] == ParsedElement("action", "BOOM!")


def test_forced_cue_and_forced_action_are_read():
    scene = one("@McAvoy\nHello.\n\n!SCANNING THE AISLES\nHe waits.")
    assert [(e.kind, e.character) for e in scene.elements] == [("dialogue", "McAvoy"), ("action", None)]


def test_emphasis_is_taken_off_and_escapes_stay():
    assert one(r"He is **very** _late_ \*again\*.").elements[0].text == "He is very late *again*."


def test_span_points_at_the_scene_in_the_script():
    story = parse("Title: X\n\nINT. A\n\nx\n\nEXT. B\n\ny")
    start, end = story.scenes[1].source_span
    assert story.script_text[start:end] == "EXT. B\n\ny"


def test_large_script_is_read_within_seconds():
    scene = "INT. KITCHEN - NIGHT\n\nShe walks.\n\nMAYA\nHello there.\n\nTOM (O.S.)\n(low)\nBye.\n\n"
    started = time.process_time()
    assert len(parse(scene * 120).scenes) == 120
    assert time.process_time() - started < 5


@pytest.mark.parametrize("name", ["the-lighthouse-keeper.fountain", "first-light.fdx", "last-train.txt"])
def test_example_survives_export_and_import(name):
    story = parse_story((EXAMPLES / name).read_bytes(), name, limit_bytes=1_000_000)
    again = parse(to_fountain(story))
    assert again.scenes == story.scenes
    assert parse(to_fdx(story), "x.fdx").title == story.title


def test_lighthouse_has_six_scenes_and_four_characters():
    data = (EXAMPLES / "the-lighthouse-keeper.fountain").read_bytes()
    story = parse_story(data, "the-lighthouse-keeper.fountain", limit_bytes=1_000_000)
    assert (len(story.scenes), len(story.characters)) == (6, 4)
    assert {scene.int_ext for scene in story.scenes} == {"INT", "EXT"}


WORD = st.text("abcdefgXYZéß.,!?'()[]*_#@>~=/-0123456789", min_size=1, max_size=8)
LINE = st.lists(WORD, min_size=1, max_size=6).map(" ".join)
NAME = st.from_regex(r"[A-ZÉ][A-Za-zé0-9]{0,8}", fullmatch=True)
BLOCK = st.one_of(
    LINE,
    st.tuples(LINE, LINE).map("\n".join),
    st.tuples(NAME, LINE).map(lambda t: f"@{t[0]}\n{t[1]}"),
    st.tuples(NAME, LINE, LINE).map(lambda t: f"{t[0].upper()} (V.O.)\n({t[1]})\n{t[2]}"),
    LINE.map(lambda line: f"> {line}"),
    LINE.map(lambda line: f"= {line}"),
    NAME.map(lambda name: f"INT. {name} - NIGHT"),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(BLOCK, min_size=1, max_size=8))
def test_whatever_is_read_survives_export_and_import(blocks):
    story = parse("Title: T\n\nINT. FIRST - DAY\n\n" + "\n\n".join(blocks))
    assert parse(to_fountain(story)) == story


@settings(max_examples=100, deadline=None)
@given(st.lists(BLOCK, min_size=1, max_size=8))
def test_whatever_is_read_survives_fdx(blocks):
    story = parse("Title: T\n\nINT. FIRST - DAY\n\n" + "\n\n".join(blocks))
    first = parse(to_fdx(story), "a.fdx")
    assert parse(to_fdx(first), "a.fdx") == first
    assert [s.heading for s in first.scenes] == [s.heading for s in story.scenes]
