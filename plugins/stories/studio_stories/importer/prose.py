"""Prose to scenes: where it happens, when, and who says what, by rules of thumb that need no model."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from studio_stories.importer.headings import HEADING, join_heading
from studio_stories.importer.language import language_of
from studio_stories.importer.model import IntExt, Token, one_line
from studio_stories.importer.play import Play

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG_SCENE = 180
"""Words after which the next paragraph of narration opens a new scene."""
UNKNOWN_SPEAKER = "VOICE"
_OUTSIDE = [
    "street",
    "beach",
    "forest",
    "woods",
    "field",
    "sky",
    "road",
    "sea",
    "rain",
    "park",
    "mountain",
    "garden",
    "river",
    "bridge",
    "hill",
    "harbour",
    "harbor",
    "shore",
    "cliff",
    "village",
    "city",
    "desert",
    "rooftop",
    "platform",
    "lane",
    "market",
    "square",
    "island",
    "valley",
    "lake",
    "ocean",
    "coast",
    "path",
    "yard",
]
_INSIDE = [
    "room",
    "kitchen",
    "house",
    "office",
    "bedroom",
    "hall",
    "corridor",
    "carriage",
    "train",
    "car",
    "cabin",
    "cellar",
    "attic",
    "library",
    "church",
    "bar",
    "cafe",
    "café",
    "shop",
    "school",
    "hospital",
    "tower",
    "lighthouse",
    "station",
    "apartment",
    "flat",
    "theatre",
    "tent",
    "cave",
    "cockpit",
    "lift",
    "bathroom",
]
_PLACE = re.compile(
    rf"\b(?:(?:the|a|an|his|her|their|its|our|my)\s+)?((?:[a-z]+\s)?(?:{'|'.join(_OUTSIDE + _INSIDE)}))\b",
    re.IGNORECASE,
)
_TIMES = (
    ("NIGHT", r"night|midnight|moon(?:light)?|stars"),
    ("DAWN", r"dawn|sunrise|daybreak|first light"),
    ("MORNING", r"morning|breakfast"),
    ("DUSK", r"dusk|sunset|twilight"),
    ("EVENING", r"evening"),
    ("DAY", r"noon|afternoon|day"),
)
_SHIFT = re.compile(
    r"^(?:later|meanwhile|the next|that (?:night|evening|morning|afternoon)|"
    r"(?:hours|days|weeks|years|months) later|an hour later|"
    r"by (?:morning|nightfall|dawn|dusk|noon)|at (?:dawn|dusk|noon|midnight|last)|in the morning)\b",
    re.IGNORECASE,
)
_BREAK = re.compile(r"^(?:[*#=~_-]\s*){3,}$|^#$")
_TITLED = re.compile(
    r"^(?:#{1,6}\s+(?P<hash>.+)|(?P<chapter>(?:chapter|part|scene|kapitel|chapitre)\b.{0,60}))$",
    re.IGNORECASE,
)
_QUOTE = re.compile(
    r"“([^”]+)”|\"([^\"]+)\"|«\s*([^»]+?)\s*»|„([^“”]+)[“”]|(?<!\w)‘((?:[^’]|’(?=\w))+)’(?!\w)"  # noqa: RUF001 - as in print
)
_CORNERS = str.maketrans("「」『』", "“”“”")
_TURNED = str.maketrans("«»", "»«")
_NAME = r"(?:(?:Mr|Mrs|Ms|Dr|Miss)\.?\s)?[^\W\d_a-z][\w'’-]+"  # noqa: RUF001 - prose has typographic marks
_SAYS = (
    r"(?:said|says|asked|asks|whispered|whispers|replied|replies|answered|answers|"
    r"shouted|shouts|cried|called|calls|murmured|muttered|added|told|yelled|"
    r"sighed|laughed|began|continued|went on|repeated|admitted|breathed|"
    r"sagte|fragte|flüsterte|antwortete|rief|schrie|murmelte|erwiderte|meinte|"
    r"dit|demanda|répondit|murmura|cria|ajouta|chuchota|"
    r"dijo|preguntó|respondió|contestó|gritó|susurró|murmuró|añadió|"
    r"disse|chiese|rispose|gridò|sussurrò)"
)
_WHO = rf"(?:{_NAME}|[Hh]e|[Ss]he|[Tt]hey)"
_AFTER = re.compile(rf"^\s*,?\s*(?:{_SAYS}\s+({_WHO})|({_WHO})\s+{_SAYS})\b")
_BEFORE = re.compile(rf"\b({_WHO})\s+{_SAYS}\b[^.!?\"“]*$")
_ATTRIBUTION = re.compile(rf"(?:{_SAYS}\s+{_WHO}|{_WHO}\s+{_SAYS})[.,:]?")
_CLOSING = re.compile(
    rf"[”\"»’]\s*,?\s*(?:{_SAYS}\s+({_NAME})|({_NAME})\s+{_SAYS})\b"  # noqa: RUF001 - as in print
)
_TOLD = re.compile(rf",?\s+({_SAYS}(?:-\w+)?\s+{_NAME})[.,]?(?=\s|$)")
_PRONOUNS = frozenset({"he", "she", "they"})
_NO_NAMES = frozenset(
    [
        "The",
        "And",
        "But",
        "Then",
        "When",
        "While",
        "She",
        "Her",
        "His",
        "They",
        "There",
        "This",
        "That",
        "What",
        "Where",
        "Who",
        "Why",
        "How",
        "You",
        "Your",
        "Not",
        "Yes",
        "For",
        "From",
        "With",
        "Into",
        "Nobody",
        "Nothing",
        "Everyone",
        "Someone",
        "Outside",
        "Inside",
        "Above",
        "Below",
        "Behind",
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
        "God",
    ]
)
_MIDDLE_NAME = re.compile(r"(?<=[a-z,;] )([A-Z][a-z]{2,})\b")


@dataclass(slots=True)
class _Scene:
    """A stretch of prose: where it starts, what it is called, its paragraphs with their offsets."""

    at: int
    name: str = ""
    paragraphs: list[str] = field(default_factory=list)

    @property
    def words(self) -> int:
        return sum(len(text.split()) for text in self.paragraphs)


@dataclass(slots=True)
class ProseText:
    """A prose file: its title when it has one, its tokens, and the names that nobody speaks under."""

    title: str
    tokens: list[Token]
    names: list[str]


def read_prose(text: str) -> ProseText:
    """Read prose: scenes begin at headings, breaks (`***`), shifts of time, and after `LONG_SCENE` words."""
    play, text = Play(text), _quoted(text)
    blocks = list(_blocks(text))
    title = "" if blocks and play.speaks(blocks[0][1]) else _take_title(blocks)
    scenes = [scene for scene in _scenes(blocks, play) if scene.paragraphs]
    names = _names(text)
    return ProseText(title, list(_Teller(names, play).tell(scenes)), [name.upper() for name in names])


def _quoted(text: str) -> str:
    """Write the quotes of other languages as those that `_QUOTE` knows, character for character.

    German and Danish print guillemets the other way round, »so«; Chinese and Japanese have corners.
    """
    text = text.translate(_CORNERS)
    first = re.search("[«»]", text)
    return text.translate(_TURNED) if first and first[0] == "»" else text


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    for match in re.finditer(r"[^\n]*\S[^\n]*(?:\n[^\n]*\S[^\n]*)*", text):
        yield match.start(), match[0].strip()


def _take_title(blocks: list[tuple[int, str]]) -> str:
    """Take the title: a first block of one short line without a full stop, perhaps with "by …" under it."""
    if len(blocks) < 2:  # noqa: PLR2004 - a title and a story
        return ""
    first = blocks[0][1].split("\n")
    line = re.sub(r"^#\s+|^title:\s*", "", first[0], flags=re.IGNORECASE).strip()
    short = len(first) <= 2 and len(line) <= 80 and not line.endswith((".", "!", "?", '"', "”", ",", ":"))  # noqa: PLR2004 - a title page of two lines
    if not short or HEADING.match(line) or _BREAK.match(line) or _chapter(first[0]):
        return ""
    del blocks[0]
    return line


def _chapter(line: str) -> bool:
    match = _TITLED.match(line)
    return bool(match and match["chapter"])


def _scenes(blocks: list[tuple[int, str]], play: Play) -> list[_Scene]:
    scenes: list[_Scene] = [_Scene(blocks[0][0] if blocks else 0)]
    for at, block in blocks:
        head, _, rest = block.partition("\n")
        titled = _TITLED.match(head)
        if _BREAK.match(block):
            scenes.append(_Scene(at))
        elif titled or HEADING.match(head):
            scenes.append(_Scene(at, (titled["hash"] or titled["chapter"]) if titled else head))
            if rest.strip():
                scenes[-1].paragraphs.append(rest)
        else:
            told = not play.speaks(block)
            if scenes[-1].paragraphs and told and (_SHIFT.match(block) or _full(scenes[-1], block)):
                scenes.append(_Scene(at))
            scenes[-1].paragraphs.append(block)
    return scenes


def _full(scene: _Scene, block: str) -> bool:
    return scene.words > LONG_SCENE and not _QUOTE.search(block)


def _names(text: str) -> list[str]:
    """Return who speaks by name, and who is named twice or more in mid-sentence."""
    speakers = dict.fromkeys(a or b for a, b in _CLOSING.findall(text))
    known = [name for name in speakers if name not in _NO_NAMES and name not in {"He", "She", "They"}]
    found = Counter(name for name in _MIDDLE_NAME.findall(text) if name not in _NO_NAMES)
    spoken = {word for name in known for word in name.split()}
    if language_of(text) == "de":  # every noun has a capital
        return known
    return known + [name for name, count in found.items() if count > 1 and name not in spoken]


class _Teller:
    """Tells scenes as tokens and remembers what carries over: the place, the time, the last two speakers."""

    def __init__(self, names: list[str], play: Play) -> None:
        self._names, self._play = names, play
        self._location = "SOMEWHERE"
        self._side: IntExt = "INT"
        self._time = "DAY"
        self._speakers: list[str] = []

    def tell(self, scenes: list[_Scene]) -> Iterator[Token]:
        for scene in scenes:
            yield Token("heading", self._heading(scene), at=scene.at)
            self._speakers = []
            for paragraph in scene.paragraphs:
                if self._play.speaks(paragraph):
                    yield from self._play.tell(paragraph)
                else:
                    yield from self._paragraph(one_line(paragraph))

    def _heading(self, scene: _Scene) -> str:
        if HEADING.match(scene.name):
            return scene.name
        text = " ".join([scene.name, *scene.paragraphs])
        if place := _PLACE.search(text):
            self._location = re.sub(r"^(?:OF|IN|THE|A|AN|AT|TO|AND) ", "", place[1].upper())
            self._side = "EXT" if self._location.split()[-1].lower() in _OUTSIDE else "INT"
        times = [(found.start(), time) for time, words in _TIMES if (found := _word(words, text))]
        self._time = min(times)[1] if times else self._time
        return join_heading(self._side, self._location, self._time)

    def _paragraph(self, text: str) -> Iterator[Token]:
        text = _dashed(text)
        quotes = list(_QUOTE.finditer(text))
        if not quotes:
            yield Token("action", text)
            return
        speaker = self._speaker(text, quotes)
        self._speakers = [*(name for name in self._speakers if name != speaker), speaker][-2:]
        end, speech = 0, ""
        for quote in quotes:
            between = list(_narration(text[end : quote.start()]))
            if between and speech:
                yield from _speech(speaker, speech)
                speech = ""
            yield from between
            speech = _continued(speech, next(filter(None, quote.groups())).strip())
            end = quote.end()
        yield from _speech(speaker, speech)
        yield from _narration(text[end:])

    def _speaker(self, text: str, quotes: list[re.Match[str]]) -> str:
        for quote in quotes:
            after, before = _AFTER.match(text[quote.end() :]), _BEFORE.search(text[: quote.start()])
            name = (after[1] or after[2]) if after else before[1] if before else ""
            if name and name.lower() not in _PRONOUNS and name not in _NO_NAMES:
                return name.upper()
        told = _QUOTE.sub(" ", text)
        named = [name for name in self._names if re.search(rf"\b{name}\b", told)]
        if named:
            return min(named, key=told.index).upper()
        return self._speakers[0] if self._speakers else UNKNOWN_SPEAKER


def _dashed(text: str) -> str:
    """Put speech that begins with a dash into quotes: "—Ven —dijo Ana—. Ya.", "— Viens, dit Ana. Vite !"."""
    if not re.match(r"[—–]\s*[^\W\d_]|[—–]\s*[¿¡]", text):  # noqa: RUF001 - either dash is used
        return text
    parts = re.split(r"\s*[—–]\s*", text[1:].strip())  # noqa: RUF001 - as above
    if len(parts) == 1 and (told := _TOLD.search(parts[0])):
        parts = [parts[0][: told.start()], told[1], parts[0][told.end() :].strip()]
    marked = [part if odd % 2 else f"“{part.lstrip('.,; ')}”" for odd, part in enumerate(parts)]
    return " ".join(part for part in marked if part != "“”")


def _word(words: str, text: str) -> re.Match[str] | None:
    return re.search(rf"\b(?:{words})\b", text, re.IGNORECASE)


def _speech(speaker: str, text: str) -> Iterator[Token]:
    yield Token("cue", speaker)
    yield Token("dialogue", f"{text[:-1]}." if text.endswith(",") else text)


def _continued(speech: str, more: str) -> str:
    """Join the two halves of a speech that "he said" has split."""
    if speech and speech[-1] not in ".!?…—" and more[:1].isupper():
        speech = f"{speech.rstrip(',')}."
    return f"{speech} {more}".strip()


def _narration(text: str) -> Iterator[Token]:
    """Yield what stands round a quote, unless it only says who speaks."""
    text = text.strip(" ,;—–-")  # noqa: RUF001 - prose has typographic marks
    if re.search(r"\w", text) and not _ATTRIBUTION.fullmatch(text):
        yield Token("action", text)
