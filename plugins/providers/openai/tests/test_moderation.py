"""Moderation: what is sent, what is an objection, and answers that are no judgement."""

from __future__ import annotations

import base64

import pytest

from studio import ProviderError, ProviderRejectedError, ProviderUnavailableError
from studio_moderation.api import Flag, ModerationRequest, Verdict

pytestmark = pytest.mark.http


def text(said="A calm harbour."):
    return ModerationRequest(job_id="m1", text=said)


async def flags(judge, request):
    done = await judge.submit(request)
    assert (done.state, done.usage, done.cost_uusd) == ("succeeded", {"calls": 1}, None)
    return Verdict.model_validate(done.data).flags


async def test_a_text_is_judged(provider, fake):
    judge = provider("moderation", fake)
    assert await flags(judge, text()) == ()
    assert fake.calls[0].json == {
        "model": "omni-moderation-latest",
        "input": [{"type": "text", "text": "A calm harbour."}],
    }
    found = await flags(judge, text("a forbidden thing"))
    assert found == (Flag(category="violence", score=0.93), Flag(category="violence/graphic", score=0.93))
    assert judge.estimate(text()).cost_uusd == 0


async def test_a_picture_is_sent_as_it_is(provider, fake, openai_fakes, tmp_path):
    judge, path = provider("moderation", fake), tmp_path / "stored-without-a-suffix"
    path.write_bytes(openai_fakes.png(64, 32) + b"forbidden")
    request = ModerationRequest(job_id="m2", image=path, mime="image/png")
    assert [flag.category for flag in await flags(judge, request)] == ["violence", "violence/graphic"]
    (part,) = fake.calls[0].json["input"]
    head, _, data = part["image_url"]["url"].partition(",")
    assert (part["type"], head) == ("image_url", "data:image/png;base64")
    assert base64.b64decode(data) == path.read_bytes()


async def test_a_picture_that_the_vendor_would_not_take_is_not_sent(provider, fake, tmp_path, monkeypatch):
    monkeypatch.setattr("studio_openai.moderation.LARGEST", 10)
    (tmp_path / "large.png").write_bytes(b"x" * 11)
    with pytest.raises(ProviderRejectedError):
        await provider("moderation", fake).submit(ModerationRequest(job_id="m", image=tmp_path / "large.png"))
    assert fake.calls == []


@pytest.mark.parametrize(
    ("name", "found"), [("omni", (Flag(category="violence", score=0.8599265510337075),)), ("older", ())]
)
async def test_answers_as_documented_and_of_an_older_model_are_read(provider, tools, name, found):
    async with tools.canned(200, tools.payload("moderations")[name]).serving() as vendor:
        assert await flags(provider("moderation", vendor), text()) == found


def result(**changed):
    return {"results": [{"flagged": False, "categories": {}, "category_scores": {}} | changed]}


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (result(flagged=True), (Flag(category="flagged"),)),
        (result(categories={"a_new_one": True}), (Flag(category="a_new_one"),)),
        (result(categories={"hate": True}, category_scores={"hate": 7}), (Flag(category="hate"),)),
    ],
    ids=["nameless", "new", "score_of_seven"],
)
async def test_whatever_looks_like_an_objection_is_one(provider, tools, answer, found):
    async with tools.canned(200, answer).serving() as vendor:
        assert await flags(provider("moderation", vendor), text()) == found


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"results": []},
        {"results": [{}]},
        {"results": [{"flagged": False}]},
        {"results": [{"flagged": "false", "categories": {}}]},
        {"results": [{"flagged": None, "categories": {}}]},
        {"results": [{"flagged": False, "categories": {"hate": "no"}}]},
        [],
        "",
    ],
    ids=str,
)
async def test_an_answer_of_another_shape_is_no_judgement(provider, tools, answer):
    async with tools.canned(200, answer, text="" if answer == "" else None).serving() as vendor:
        with pytest.raises(ProviderError) as caught:
            await provider("moderation", vendor).submit(text())
    assert caught.value.code == "provider_bad_answer"


async def test_an_answer_that_broke_is_asked_for_again(provider, fake):
    fake.fail("500")
    assert await flags(provider("moderation", fake), text()) == ()
    assert len(fake.calls) == 2


@pytest.mark.parametrize("name", ["wrong_key", "no_permission", "quota"])
async def test_refusals_are_no_judgement(provider, tools, name):
    made = tools.payload("errors")[name]
    async with tools.canned(made["status"], made["body"], made["headers"]).serving() as vendor:
        with pytest.raises((ProviderError, ProviderUnavailableError)):
            await provider("moderation", vendor).submit(text())


async def test_a_judgement_cannot_be_asked_for_later(provider, fake):
    with pytest.raises(ProviderRejectedError):
        await provider("moderation", fake).poll("modr-1")
    assert await provider("moderation", fake).cancel("modr-1") is False
