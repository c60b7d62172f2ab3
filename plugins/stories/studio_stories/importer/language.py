"""Which language a text is in, by its most frequent small words or its script."""

from __future__ import annotations

import re
from collections import Counter

_WORDS = {
    "en": "the and of to in is it you that he she was for on with his her",
    "de": "der die das und ist nicht ein eine zu den mit sich auf ich sie wir",
    "fr": "le la les et est une des du que dans qui pas je il elle vous nous",
    "es": "el los las y que en una por con no se su para del está ella",
    "it": "il che di non una per con gli della sono è nel lei lui anche",
    "pt": "o os as e que não uma para com do da em ela ele você está",
    "nl": "het een en van is niet dat op te zijn met voor hij zij ik",
}
_SCRIPTS = (
    ("ja", "[\u3040-\u30ff]"),
    ("ko", "[\uac00-\ud7af]"),
    ("zh", "[\u4e00-\u9fff]"),
    ("ru", "[\u0400-\u04ff]"),
    ("el", "[\u0370-\u03ff]"),
    ("ar", "[\u0600-\u06ff]"),
    ("he", "[\u0590-\u05ff]"),
    ("hi", "[\u0900-\u097f]"),
)
SAMPLE = 20_000


def language_of(text: str) -> str:
    """Return a two-letter code; "en" when nothing speaks for another language."""
    sample = text[:SAMPLE].lower()
    letters = len(re.findall(r"[^\W\d_]", sample)) or 1
    for code, pattern in _SCRIPTS:
        if len(re.findall(pattern, sample)) > letters * 0.2:
            return code
    words = Counter(re.findall(r"[^\W\d_]+", sample))
    scores = {code: sum(words[word] for word in small.split()) for code, small in _WORDS.items()}
    best = max(scores, key=lambda code: scores[code])
    return best if scores[best] > scores["en"] else "en"
