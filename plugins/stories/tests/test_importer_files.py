from __future__ import annotations

import codecs

import pytest

from studio import InvalidInputError, PayloadTooLargeError
from studio_stories.importer import parse_story, to_fdx, to_fountain
from studio_stories.importer.assemble import LONGEST_TEXT
from studio_stories.importer.decode import detect
from studio_stories.importer.language import language_of

pytestmark = pytest.mark.pure
SCRIPT = "INT. CAFÉ - NIGHT\n\nHe waits.\n\nÉLODIE\nBonsoir.\n"
FDX = '<?xml version="1.0"?><FinalDraft><Content>{}</Content></FinalDraft>'


def parse(data: bytes, name: str = "a.fountain"):
    return parse_story(data, name, limit_bytes=100_000)


@pytest.mark.parametrize(
    ("data", "name", "code", "says"),
    [
        (b"", "a.fountain", "story_empty", "empty"),
        (b" \n\t\n", "a.txt", "story_empty", "empty"),
        (codecs.BOM_UTF8, "a.txt", "story_empty", "empty"),
        (b"%PDF-1.7 ...", "a.pdf", "story_binary", "PDF"),
        (b"PK\x03\x04....", "a.docx", "story_binary", "Word"),
        (b"\xd0\xcf\x11\xe0....", "a.doc", "story_binary", "Word"),
        (b"{\\rtf1 hello}", "a.rtf", "story_binary", "RTF"),
        (b"\x89PNG\r\n", "a.png", "story_binary", "PNG"),
        (b"abc\x00def", "a.txt", "story_binary", "UTF-8"),
        (SCRIPT.encode("utf-16-le"), "a.fountain", "story_binary", "UTF-16"),
        (bytes(range(1, 32)) * 20, "a.txt", "story_binary", "binary"),
        (codecs.BOM_UTF16_LE + b"a", "a.txt", "story_encoding", "UTF-8"),
        (b"caf\x81", "a.txt", "story_encoding", "UTF-8"),
        (b"He waits.\n\nShe too.", "a.fountain", "story_without_scenes", "INT. KITCHEN - DAY"),
        (b"1234 5678 !!", "a.txt", "story_without_scenes", "sentence"),
        (b"<FinalDraft><Content></Content></FinalDraft>", "a.fdx", "story_without_scenes", "Scene Heading"),
        (b"<?xml version='1.0'?><html></html>", "a.fdx", "story_broken", "FinalDraft"),
        (b"<FinalDraft>\n<Content>\n<Paragraph></Content></FinalDraft>", "a.fdx", "story_broken", "line 3"),
        (b"INT. ROOM - DAY", "a.fdx", "story_broken", "line 1"),
        (b"<FinalDraft>" + b"<a>" * 100, "a.fdx", "story_broken", "deep"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><FinalDraft/>', "a.fdx", "story_broken", "document type"),
    ],
)
def test_bad_file_is_refused_with_what_to_do(data, name, code, says):
    with pytest.raises(InvalidInputError) as caught:
        parse(data, name)
    assert caught.value.code == code
    assert says in caught.value.detail


def test_entity_bomb_is_refused_before_it_grows():
    entities = '<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">'
    bomb = f'<?xml version="1.0"?><!DOCTYPE b [{entities}]><FinalDraft>&b;</FinalDraft>'
    with pytest.raises(InvalidInputError, match="entities"):
        parse(bomb.encode(), "a.fdx")


def test_file_over_the_limit_is_too_large():
    with pytest.raises(PayloadTooLargeError, match="100,001 bytes"):
        parse(b"a" * 100_001)


def test_script_over_two_megabytes_is_too_long():
    with pytest.raises(PayloadTooLargeError) as caught:
        parse_story(b"INT. ROOM\n\n" + b"word " * 410_000, "a.fountain", limit_bytes=20_000_000)
    assert caught.value.code == "story_too_long"


def test_too_many_scenes_are_too_long():
    with pytest.raises(PayloadTooLargeError, match="scenes"):
        parse_story(b"INT. A\n\n" * 2_001, "a.fountain", limit_bytes=20_000_000)


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (b"", "cp1252"),
    ],
)
def test_encoding_is_found_out(mark, encoding):
    story = parse(mark + SCRIPT.encode(encoding))
    assert story.scenes[0].location == "CAFÉ"
    assert story.characters[0].name == "ÉLODIE"
    assert bool(story.warnings) is (encoding == "cp1252")


@pytest.mark.parametrize("newline", ["\r\n", "\r", "\u2028", "\x0c"])
def test_newlines_of_every_kind_are_read(newline):
    assert len(parse(SCRIPT.replace("\n", newline).encode()).scenes[0].elements) == 2


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        (FDX, "a.txt", "fdx"),
        (SCRIPT, "a.txt", "fountain"),
        (SCRIPT, "", "fountain"),
        ("He waits.", "a.fountain", "fountain"),
        ("He waits.", "a.txt", "text"),
        ("Int. the letters said.", "a.md", "text"),
        ("<b>no xml</b>", "a.fdx", "fdx"),
    ],
)
def test_format_is_detected_by_content_then_name(text, name, expected):
    assert detect(text, name) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The man and the woman were in the house.", "en"),
        ("Der Mann und die Frau sind nicht in dem Haus, und das ist gut.", "de"),
        ("Le chat et la souris sont dans la maison qui est à vous.", "fr"),
        ("El hombre y la mujer no están en la casa del rey.", "es"),
        ("彼は待っている。", "ja"),
        ("Он ждёт её у дома.", "ru"),  # noqa: RUF001 - Russian is what it is
        ("", "en"),
    ],
)
def test_language_is_guessed(text, code):
    assert language_of(text) == code


def paragraph(kind: str, *runs: str, number: str = "") -> str:
    texts = "".join(f"<Text>{run}</Text>" for run in runs)
    return f'<Paragraph Type="{kind}"{f" Number={number!r}" if number else ""}>{texts}</Paragraph>'


def test_fdx_keeps_every_run_of_a_paragraph():
    body = paragraph("Scene Heading", "INT. ROOM ", "- DAY", number="7") + paragraph(
        "Action", "He ", "waits", "."
    )
    scene = parse(FDX.format(body).encode(), "a.fdx").scenes[0]
    assert (scene.number, scene.heading) == ("7", "INT. ROOM - DAY")
    assert scene.elements[0].text == "He waits."


def test_fdx_keeps_both_speakers_of_dual_dialogue():
    speech = paragraph("Character", "A") + paragraph("Dialogue", "Yes!")
    other = paragraph("Character", "B") + paragraph("Dialogue", "No!")
    body = (
        paragraph("Scene Heading", "INT. ROOM")
        + f"<Paragraph><DualDialogue>{speech}{other}</DualDialogue></Paragraph>"
    )
    elements = parse(FDX.format(body).encode(), "a.fdx").scenes[0].elements
    assert [(e.character, e.dual) for e in elements] == [("A", False), ("B", True)]


def test_fdx_leaves_script_notes_out():
    note = "<ScriptNote><Paragraph><Text>secret</Text></Paragraph></ScriptNote>"
    body = (
        paragraph("Scene Heading", "INT. ROOM")
        + f'<Paragraph Type="Action">{note}<Text>He waits.</Text></Paragraph>'
    )
    story = parse(FDX.format(body).encode(), "a.fdx")
    assert "secret" not in story.script_text
    assert story.scenes[0].elements[0].text == "He waits."


def test_fdx_export_escapes_markup():
    story = parse(b'INT. ROOM\n\nA <b> & "c".')
    assert parse(to_fdx(story).encode(), "a.fdx").scenes[0].elements[0].text == 'A <b> & "c".'


def prose(text: str):
    return parse(text.encode(), "a.txt")


def test_prose_of_one_sentence_is_one_scene():
    story = prose("A man waits in the kitchen at midnight.")
    assert [(s.int_ext, s.location, s.time_of_day) for s in story.scenes] == [("INT", "KITCHEN", "NIGHT")]


@pytest.mark.parametrize(
    ("text", "speaker", "speech"),
    [
        ("“Come in,” said Nora.", "NORA", "Come in."),
        ('Nora whispered, "Come in."', "NORA", "Come in."),
        ('"Come in," Nora said, "and sit."', "NORA", "Come in, and sit."),
        ('"Come in." Nobody moved.', "VOICE", "Come in."),
        ("«Entrez», said Mr. Abel.", "MR. ABEL", "Entrez"),
    ],
)
def test_prose_quote_becomes_dialogue(text, speaker, speech):
    spoken = [e for e in prose(text).scenes[0].elements if e.kind == "dialogue"]
    assert [(e.character, e.text) for e in spoken] == [(speaker, speech)]


@pytest.mark.parametrize("mark", ["***", "---", "# Two", "Chapter Two", "INT. ATTIC - DAY"])
def test_prose_mark_begins_a_scene(mark):
    story = prose(f"He waits in the kitchen.\n\n{mark}\n\nShe waits on the street.")
    assert len(story.scenes) == 2


def test_prose_shift_of_time_begins_a_scene():
    story = prose("He waits in the kitchen.\n\nThe next morning he was gone from the garden.")
    assert [s.time_of_day for s in story.scenes] == ["DAY", "MORNING"]


def test_prose_exchange_alternates_speakers():
    text = '"One," said Ann.\n\n"Two," said Bob.\n\n"Three."\n\n"Four."'
    spoken = [e.character for e in prose(text).scenes[0].elements]
    assert spoken == ["ANN", "BOB", "ANN", "BOB"]


PLAY = """THE TWO FRIENDS

A kitchen. Evening.

ANNA: Did you lock the door?
BEN: (nervous) I think so,
but who knows.
(A knock.)
ANNA (softly): Listen.

The door opens. Note: it was never locked.
"""


def heard(text: str, name: str = "a.txt"):
    scenes = parse(text.encode(), name).scenes
    return [
        (e.character, e.parenthetical, e.text)
        for scene in scenes
        for e in scene.elements
        if e.kind == "dialogue"
    ]


def test_play_is_heard_line_by_line():
    assert heard(PLAY) == [
        ("ANNA", "", "Did you lock the door?"),
        ("BEN", "nervous", "I think so, but who knows."),
        ("ANNA", "softly", "Listen."),
    ]
    story = parse(PLAY.encode(), "a.txt")
    assert story.title == "THE TWO FRIENDS"
    assert [e.text for e in story.scenes[0].elements if e.kind == "action"] == [
        "A kitchen. Evening.",
        "A knock.",
        "The door opens. Note: it was never locked.",
    ]


def test_play_may_have_names_in_small_letters_or_without_case():
    assert heard("Anna: Hello.\nBen: Hi.") == [("Anna", "", "Hello."), ("Ben", "", "Hi.")]
    assert heard("小梅：你来吗？\n李明（轻声）：好。") == [("小梅", "", "你来吗？"), ("李明", "轻声", "好。")]  # noqa: RUF001 - Chinese has its own marks


@pytest.mark.parametrize(
    "text",
    [
        "Note: it rained.\n\nIt went on for days. Nobody came.\n\nNobody called.\n\nNote: it stopped.",
        "See HTTP://example.org and\nHTTP://example.com for more.",
        "ONE TWO THREE FOUR FIVE: a list.\nONE TWO THREE FOUR SIX: another.",
    ],
)
def test_colon_alone_makes_no_play(text):
    assert heard(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("»Gleich«, sagte Jonas. »Ich komme.«", [("JONAS", "", "Gleich. Ich komme.")]),
        ("„Wer da?“, fragte Klara.", [("KLARA", "", "Wer da?")]),
        ("« Où es-tu ? » demanda Claire.", [("CLAIRE", "", "Où es-tu ?")]),
        ("— Je suis ici, répondit Paul. Viens vite !", [("PAUL", "", "Je suis ici. Viens vite !")]),
        ("—Aquí —dijo Juan—. Ven rápido.", [("JUAN", "", "Aquí. Ven rápido.")]),
        ("—¿Dónde? —preguntó María.", [("MARÍA", "", "¿Dónde?")]),
        ("「すぐ行く」と太郎は答えた。", [("VOICE", "", "すぐ行く")]),
    ],
)
def test_prose_is_quoted_as_its_language_prints_it(text, expected):
    assert heard(text) == expected


def test_german_nouns_are_no_characters():
    text = "Im Haus war das Licht aus. Er sah das Licht und das Haus nicht.\n\n„Ja“, sagte Jonas.\n"
    assert [c.name for c in parse(text.encode(), "a.txt").characters] == ["JONAS"]


def test_speech_longer_than_a_voice_speaks_goes_on_in_the_next():
    said = " ".join(f"This is sentence number {n}." for n in range(1000))
    text = f"INT. STAGE - NIGHT\n\n{said}\n\nACTOR\n(slowly)\n{said}\n"
    story = parse(text.encode())
    elements = story.scenes[0].elements
    for kind in ("action", "dialogue"):
        parts = [e.text for e in elements if e.kind == kind]
        assert " ".join(parts) == said
        assert all(len(part) <= LONGEST_TEXT and part.endswith(".") for part in parts)
    assert [e.parenthetical for e in elements if e.kind == "dialogue"][:2] == ["slowly", ""]
    assert parse(to_fountain(story).encode()) == story


def test_text_without_any_place_to_cut_is_cut():
    story = parse(("INT. A - DAY\n\nBO\n" + "字" * (LONGEST_TEXT * 2 + 1) + "\n").encode())
    assert [len(e.text) for e in story.scenes[0].elements] == [LONGEST_TEXT, LONGEST_TEXT, 1]


def test_scene_of_too_many_paragraphs_names_the_scene():
    with pytest.raises(PayloadTooLargeError, match=r"INT\. A - DAY") as caught:
        parse(("INT. A - DAY\n\n" + "He waits.\n\n" * 1001).encode())
    assert caught.value.code == "story_too_long"
