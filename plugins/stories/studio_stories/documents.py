"""From a parsed file to stored documents, and back for an export; pure."""

from __future__ import annotations

import colorsys
import hashlib
import re
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from studio import new_id
from studio_stories.importer import ParsedElement, ParsedScene, ParsedStory
from studio_stories.importer.headings import UNTIMED
from studio_stories.ordering import spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from studio import Doc

PARTS = ("scenes", "shots", "characters", "locations", "props")
"""The collections that hold a story's content."""
_SPEECH_WPM = 165
_ACTION_WPM = 250
_GOLDEN = 0.618_033_988_75


@dataclass(slots=True)
class Content:
    """All content of a story, each list in film order (entities by name)."""

    scenes: list[Doc] = field(default_factory=list)
    shots: list[Doc] = field(default_factory=list)
    characters: list[Doc] = field(default_factory=list)
    locations: list[Doc] = field(default_factory=list)
    props: list[Doc] = field(default_factory=list)

    def sort(self) -> Content:
        """Bring every list into its order and return the content."""
        self.scenes.sort(key=lambda doc: (doc["order"], doc["_id"]))
        place = {scene["_id"]: n for n, scene in enumerate(self.scenes)}
        self.shots.sort(key=lambda doc: (place.get(doc["scene_id"], len(place)), doc["order"], doc["_id"]))
        for entities in (self.characters, self.locations, self.props):
            entities.sort(key=lambda doc: doc["name"].casefold())
        return self

    def parts(self) -> dict[str, list[Doc]]:
        """Return the lists by collection."""
        return {name: getattr(self, name) for name in PARTS}


def word_count(text: str) -> int:
    """Count the words of a script."""
    return len(re.findall(r"\w+(?:['’]\w+)*", text))  # noqa: RUF001 - both apostrophes


def story_fields(parsed: ParsedStory, source: bytes) -> Doc:
    """Return the members of a story document that a file determines."""
    return {
        "title": parsed.title[:200],
        "author": parsed.author[:200],
        "language": parsed.language[:20],
        "format": parsed.format,
        "source": {"kind": parsed.format, "sha256": hashlib.sha256(source).hexdigest(), "bytes": len(source)},
        "word_count": word_count(parsed.script_text),
        "scene_count": len(parsed.scenes),
        "warnings": list(parsed.warnings),
    }


def content_of(parsed: ParsedStory, owner: Mapping[str, str], old: Content | None = None) -> Content:
    """Turn a parsed story into documents; `owner` is {story_id, project_id}.

    Characters and locations of the `old` content keep their documents (colour, voice, references), and a
    scene whose heading and text did not change keeps its document and its shots, so that paid work outlives
    a new import.
    """
    old = old or Content()
    characters = _merged(
        old.characters, [_character(c.name, n, owner) for n, c in enumerate(parsed.characters)]
    )
    for doc, found in ((characters[c.name.casefold()], c) for c in parsed.characters):
        doc["aliases"] = sorted({*doc["aliases"], *found.aliases})
        doc["line_count"] = found.lines
    places = dict.fromkeys(scene.location for scene in parsed.scenes if scene.location)
    locations = _merged(old.locations, [entity(name, owner) for name in places])
    known = {_fingerprint(scene): scene for scene in reversed(old.scenes)}
    content = Content(
        characters=list(characters.values()), locations=list(locations.values()), props=old.props
    )
    for scene, order in zip(parsed.scenes, spread(len(parsed.scenes)), strict=True):
        fresh = _scene(scene, order, owner, characters, locations)
        kept = known.pop(_fingerprint(fresh), None)
        content.scenes.append({**kept, **_placed(fresh)} if kept else fresh)
    scene_ids = {scene["_id"] for scene in content.scenes}
    content.shots = [shot for shot in old.shots if shot["scene_id"] in scene_ids]
    return content.sort()


def _placed(fresh: Doc) -> Doc:
    return {key: fresh[key] for key in ("order", "number", "source_span", "character_ids", "location_id")}


def _merged(old: Sequence[Doc], fresh: Sequence[Doc]) -> dict[str, Doc]:
    """Put entities together by name, whatever its case; the old document wins. Old ones stay."""
    found = {doc["name"].casefold(): doc for doc in old}
    for doc in fresh:
        found.setdefault(doc["name"].casefold(), doc)
    return found


def _fingerprint(scene: Doc) -> tuple[Any, ...]:
    said = tuple((e["kind"], e["text"], e["character"] or "", e["parenthetical"]) for e in scene["elements"])
    return (scene["heading"]["text"].casefold(), said)


def entity(name: str, owner: Mapping[str, str]) -> Doc:
    """Return a new location or prop."""
    return {
        "_id": new_id(),
        **owner,
        "name": name[:200],
        "aliases": [],
        "description": "",
        "ref_asset_ids": [],
        "rev": 1,
    }


def colour_of(number: int) -> str:
    """Return the colour of the n-th character.

    The golden angle keeps neighbours apart, and no two are alike.
    """
    hue = (0.08 + number * _GOLDEN) % 1.0
    red, green, blue = colorsys.hls_to_rgb(hue, 0.42 + 0.08 * (number // 12 % 3), 0.62)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def new_character(name: str, owner: Mapping[str, str], taken: Iterable[str]) -> Doc:
    """Return a new character whose colour nobody has."""
    used = set(taken)
    number = next(n for n in range(len(used) + 1) if colour_of(n) not in used)
    return _character(name, number, owner)


def _character(name: str, number: int, owner: Mapping[str, str]) -> Doc:
    more = {
        "role": "",
        "appearance": {},
        "outfits": [],
        "seed": number,
        "voice_setting_id": None,
        "line_count": 0,
    }
    return {**entity(name, owner), **more, "colour": colour_of(number)}


def _scene(
    parsed: ParsedScene,
    order: str,
    owner: Mapping[str, str],
    characters: Mapping[str, Doc],
    locations: Mapping[str, Doc],
) -> Doc:
    elements = [element_doc(element) for element in parsed.elements]
    location = locations.get(parsed.location.casefold())
    heading = {
        "text": parsed.heading,
        "int_ext": parsed.int_ext,
        "location_name": parsed.location[:200],
        "time_of_day": parsed.time_of_day[:60],
    }
    start, end = parsed.source_span
    return scene_doc(
        owner,
        order,
        number=parsed.number[:20],
        heading=heading,
        synopsis=parsed.synopsis[:5_000],
        elements=elements,
        location_id=location["_id"] if location else None,
        character_ids=present(elements, characters.values()),
        source_span={"start": start, "end": end},
    )


EMPTY_SCENE: Doc = {
    "synopsis": "",
    "elements": [],
    "location_id": None,
    "character_ids": [],
    "source_span": None,
    "mood": "neutral",
    "lock": False,
}
"""What a scene is before anybody fills it; a stored one that lacks a field is read with these too."""


def scene_doc(owner: Mapping[str, str], order: str, **fields: Any) -> Doc:
    """Return a new scene."""
    scene = {"_id": new_id(), **owner, "order": order, **deepcopy(EMPTY_SCENE), **fields, "rev": 1}
    scene["duration_ms_est"] = duration_of(scene["elements"])
    return scene


def element_doc(element: ParsedElement) -> Doc:
    """Return the stored form of an element; its id is the line's id for good."""
    return {
        "id": new_id(),
        "kind": element.kind,
        "text": element.text,
        "character": element.character,
        "parenthetical": element.parenthetical,
        "extension": element.extension,
        "dual": element.dual,
    }


def duration_of(elements: Iterable[Doc]) -> int:
    """Estimate how long elements play, in ms."""
    spoken = read = 0
    for element in elements:
        words = len(element["text"].split())
        spoken, read = (spoken + words, read) if element["kind"] == "dialogue" else (spoken, read + words)
    return spoken * 60_000 // _SPEECH_WPM + read * 60_000 // _ACTION_WPM


def present(elements: Sequence[Doc], characters: Iterable[Doc]) -> list[str]:
    """Return the ids of who speaks or is named in a scene."""
    speakers = {(element["character"] or "").casefold() for element in elements}
    told = " ".join(element["text"] for element in elements if element["kind"] == "action").casefold()
    return [doc["_id"] for doc in characters if any(_occurs(name, speakers, told) for name in names_of(doc))]


def names_of(character: Doc) -> list[str]:
    """Return all names of a character, folded for comparison."""
    return [name.casefold() for name in (character["name"], *character.get("aliases", ()))]


def _occurs(name: str, speakers: set[str], told: str) -> bool:
    return name in speakers or (name in told and re.search(rf"\b{re.escape(name)}\b", told) is not None)


def times_of(scenes: Iterable[Doc]) -> dict[str, str]:
    """Return each scene's time of day; CONTINUOUS and the like take the time of the scene before."""
    times: dict[str, str] = {}
    last = "DAY"
    for scene in scenes:
        written = scene["heading"]["time_of_day"]
        first = (re.findall(r"\w+", written.upper()) or [""])[0]
        last = last if first in UNTIMED else written.upper()
        times[scene["_id"]] = last
    return times


def parsed_of(story: Doc, content: Content) -> ParsedStory:
    """Turn stored documents back into what the exporters write.

    Renamed characters speak under their new names.
    """
    return ParsedStory(
        title=story["title"],
        author=story.get("author", ""),
        language=story.get("language", ""),
        scenes=tuple(_parsed_scene(scene, _spoken_names(content.characters)) for scene in content.scenes),
        characters=(),
    )


def _spoken_names(characters: Iterable[Doc]) -> dict[str, str]:
    return {name: doc["name"] for doc in characters for name in names_of(doc)}


def _parsed_scene(scene: Doc, names: Mapping[str, str]) -> ParsedScene:
    heading = scene["heading"]
    elements = tuple(
        ParsedElement(
            e["kind"],
            e["text"],
            names.get((e["character"] or "").casefold(), e["character"]),
            e["parenthetical"],
            e.get("extension", ""),
            dual=e.get("dual", False),
        )
        for e in scene["elements"]
    )
    return ParsedScene(
        scene["number"],
        heading["text"],
        heading["int_ext"],
        heading["location_name"],
        heading["time_of_day"],
        elements,
        scene.get("synopsis", ""),
    )
