"""What English words say about weather, mood, framing, movement and props."""

from __future__ import annotations

import re
from collections import Counter

WEATHER: dict[str, tuple[str, ...]] = {
    "storm": ("storm", "thunder", "lightning", "gale", "hurricane", "tempest"),
    "rain": ("rain", "rains", "raining", "rainy", "downpour", "drizzle", "drizzles", "drenched", "umbrella"),
    "snow": ("snow", "snows", "snowing", "snowy", "blizzard", "snowflakes", "sleet"),
    "fog": ("fog", "foggy", "mist", "misty", "haze"),
    "wind": ("wind", "windy", "gust", "gusts", "breeze"),
}
MOODS: dict[str, tuple[str, ...]] = {
    "tense": (
        "gun", "knife", "runs", "running", "chase", "screams", "danger", "hide", "hides", "hurry",
            "alarm", "threat",
        "panic", "freezes", "trapped", "shot", "shoots", "blood", "siren", "nervous", "dawn", "deadline",
            "locked",
    ),
    "sad": ("tears", "cries", "crying", "weeps", "grave", "funeral", "alone", "lost", "grief", "goodbye",
        "dead", "mourns"),
    "warm": ("smile", "smiles", "hug", "hugs", "love", "kiss", "laugh", "laughs", "tender", "gentle",
        "home", "fire", "family"),
    "bright": ("sun", "sunlight", "party", "dance", "dances", "cheer", "cheers", "joy", "bright",
        "music", "celebrate"),
    "dark": ("shadow", "shadows", "dark", "darkness", "night", "whispers", "abandoned", "silence",
        "cold", "ghost", "ruin"),
}  # fmt: skip
_WIDE = (
    "walk", "walks", "run", "runs", "enter", "enters", "cross", "crosses", "drive", "drives", "climb",
        "climbs", "crowd",
    "arrives", "leaves", "exits", "march", "marches", "chase", "rides", "dances", "fight", "fights", "falls",
)  # fmt: skip
_NEAR = (
    "hand",
    "hands",
    "letter",
    "photo",
    "key",
    "phone",
    "screen",
    "note",
    "ring",
    "watch",
    "map",
    "face",
    "reads",
    "finger",
)
_NEAREST = ("eye", "eyes", "tear", "trigger", "lips", "pupil")
_MOVES: dict[str, tuple[str, ...]] = {
    "tilt_up": ("rises", "climbs", "sky", "tower", "upward", "above", "lighthouse"),
    "tilt_down": ("falls", "drops", "kneels", "collapses", "floor", "descends", "sinks"),
    "pan_right": ("enters", "arrives", "walks", "follows", "drives", "runs"),
    "pan_left": ("turns", "crosses", "searches", "looks", "scans"),
    "pull_out": ("leaves", "exits", "alone", "reveals", "empty", "departs"),
    "push_in": ("realises", "realizes", "discovers", "reads", "stares", "finds", "sees", "freezes"),
}
PROPS = frozenset({
    "phone", "gun", "letter", "lamp", "key", "keys", "book", "knife", "glass", "cup", "radio", "map",
        "bag", "suitcase", "candle", "lantern", "camera", "photo", "photograph", "watch", "ring", "rope",
        "boat", "car", "bicycle", "truck", "train", "chair", "table", "mirror", "bottle", "newspaper",
        "box", "umbrella", "laptop", "computer", "notebook", "coat", "hat", "torch", "flashlight",
        "ladder", "clock", "violin", "guitar", "piano", "sword", "rifle", "envelope", "coin", "blanket",
        "basket", "telescope", "compass", "wallet", "passport", "ticket", "hammer", "shovel", "bell",
})  # fmt: skip
NOT_NAMES = frozenset({
    "THE", "A", "AN", "AND", "OR", "OF", "IN", "ON", "AT", "TO", "BY", "FOR", "WITH", "CLOSE", "CLOSEUP",
        "ANGLE", "POV", "CUT", "FADE", "BACK", "INSERT", "TITLE", "SUPER", "CONTINUED", "CONT", "MORE",
        "LATER", "SAME", "INT", "EXT", "DAY", "NIGHT", "DAWN", "DUSK", "O.S", "V.O", "OS", "VO", "TV",
        "OK", "BANG", "CRASH", "BOOM", "THUD", "CLICK", "SLAM", "RING", "RINGS", "BEAT", "SILENCE",
        "MONTAGE", "END", "INTERCUT", "WIDE", "SHOT", "MUSIC", "SMASH", "DISSOLVE", "FLASHBACK", "MATCH",
        "I", "IT", "HE", "SHE", "WE", "THEY", "NO", "YES",
})  # fmt: skip
"""Capitals in action that name neither a person nor a thing."""


def words_of(text: str) -> list[str]:
    """Return a text's words in lower case."""
    return re.findall(r"[\w']+", text.lower())


def weather_of(text: str) -> str:
    """Return the weather that a scene's words tell of, clear when none does."""
    found = set(words_of(text))
    return next((name for name, words in WEATHER.items() if found.intersection(words)), "clear")


def mood_of(text: str) -> str:
    """Return the mood with most words in the text, neutral when none has any."""
    counts = Counter(words_of(text))
    scores = {mood: sum(counts[word] for word in words) for mood, words in MOODS.items()}
    best = max(scores, key=lambda mood: scores[mood])
    return best if scores[best] else "neutral"


def action_size(text: str) -> str:
    """Return the shot size of an action: nearest for eyes, near for hands and letters, wide for movement."""
    found = set(words_of(text))
    if found.intersection(_NEAREST):
        return "ECU"
    if "close on" in text.lower() or found.intersection(_NEAR):
        return "CU"
    return "LS" if found.intersection(_WIDE) else "MS"


def movement_of(text: str, otherwise: str) -> str:
    """Return the camera movement that the words ask for."""
    found = set(words_of(text))
    return next((move for move, words in _MOVES.items() if found.intersection(words)), otherwise)


def props_in(text: str, people: frozenset[str]) -> list[str]:
    """Return the things of an action: known nouns, and what stands in capitals and is nobody."""
    capitals = re.findall(r"\b[A-Z][A-Z'-]{2,}\b", text)
    named = [
        word
        for word in capitals
        if word not in NOT_NAMES and not any(word in name.split() for name in people)
    ]
    nouns = [word for word in words_of(text) if word in PROPS]
    return [word.lower() for word in named] + nouns
