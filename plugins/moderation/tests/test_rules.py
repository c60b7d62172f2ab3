"""The operator's words, the settings, the spread of frames, and a start that would keep everything back."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from studio_moderation.api import ModerationRequest, Verdict
from studio_moderation.looking import spread
from studio_moderation.settings import ModerationSettings
from studio_moderation.words import WordsModerator

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("A Rival  Brand logo", True),
        ("the rival\nbrand.", True),
        ("\uff52\uff49\uff56\uff41\uff4c brand", True),
        ("ri\u200bval br\u00adand", True),
        ("STRASSE", True),
        ("a rivalbrand", False),
        ("arrival brandy", False),
        ("c++", True),
        ("c+ +", False),
        ("", False),
    ],
)
async def test_words_are_found_whole_in_any_case_and_form(text, refused):
    settings = ModerationSettings(words=["rival brand", "straße", "C++"], providers=["words"])
    moderator = WordsModerator(SimpleNamespace(settings=lambda _: settings))
    done = await moderator.submit(ModerationRequest(job_id="j", text=text))
    assert bool(Verdict.model_validate(done.data).flags) is refused


async def test_words_have_no_opinion_of_pictures(tmp_path):
    settings = ModerationSettings(words=["x"], providers=["words"])
    moderator = WordsModerator(SimpleNamespace(settings=lambda _: settings))
    done = await moderator.submit(ModerationRequest(job_id="j", image=tmp_path / "x.png"))
    assert done.data == {"flags": ()}


@pytest.mark.parametrize("given", [{}, {"text": "a", "image": "b.png"}])
def test_a_question_is_about_one_thing(given):
    with pytest.raises(ValidationError, match="either text or image"):
        ModerationRequest(job_id="j", **given)


@pytest.mark.parametrize(
    "wrong",
    [
        {"enabled": True, "providers": []},
        {"words": ["a"]},
        {"enabled": True, "providers": ["words"]},
        {"words": [" "], "providers": ["words"]},
        {"deadline_s": 10},
        {"kinds": ["document"]},
    ],
)
def test_settings_that_would_judge_nothing_are_refused(wrong):
    with pytest.raises(ValidationError):
        ModerationSettings(**wrong)


def test_frames_lie_in_the_middle_of_equal_parts():
    assert spread(6_000, 3) == [1_000, 3_000, 5_000]
    assert spread(500, 1) == [250]
