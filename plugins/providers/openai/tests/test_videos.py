"""Videos: what a form carries, every state of the job, and the file that is fetched once."""

from __future__ import annotations

import asyncio

import pytest

from studio import OutcomeUnknownError, ProviderError, ProviderRejectedError, VideoRequest
from studio_jobvendor.api import ClipRequest
from studio_openai.settings import OpenaiSettings
from studio_openai.video import size_of

pytestmark = pytest.mark.http


@pytest.fixture
def film(tmp_path, openai_fakes):
    path = tmp_path / "panel.png"
    path.write_bytes(openai_fakes.png(64, 32))

    def make(kind=VideoRequest, **more):
        return kind(**{"job_id": "v1", "prompt": "Rain.", "image": path, "duration_ms": 5200} | more)

    return make


@pytest.fixture
def videos(provider, fake):
    def make(**changed):
        return provider("video", fake, **{"video_models": ["wan-2.2"]} | changed)

    return make


def sent(fake, fakes):
    (call,) = fake.asked("POST", "/v1/videos$")
    return dict(fakes._form(call.headers["content-type"], call.body))


async def test_a_still_becomes_a_job_by_a_form(videos, fake, film, openai_fakes):
    started = await videos().submit(film())
    given = sent(fake, openai_fakes)
    assert given.pop("input_reference") == film().image.read_bytes()
    assert given == {
        "model": b"wan-2.2", "prompt": b"Rain. The camera slowly pushes in.", "seconds": b"8", "size": b"1280x720",
    }  # fmt: skip
    assert (started.state, started.percent, started.retry_after_s) == ("running", 0, 5.0)


async def test_the_file_is_fetched_when_it_is_done_and_only_once(videos, fake, film, openai_fakes):
    started = await videos().submit(film())
    running = await videos().poll(started.provider_job_id)
    assert (running.state, running.percent) == ("running", 33)
    for _ in range(2):  # also by another process
        done = await videos().poll(started.provider_job_id)
        (file,) = done.files
        assert (done.state, file.mime, file.duration_ms) == ("succeeded", "video/mp4", 8000)
        assert file.path.read_bytes() == openai_fakes.MP4
        assert done.usage == {"calls": 1, "seconds": 8}
        assert done.cost_uusd is None
    assert len(fake.asked("GET", "/content$")) == 1
    assert fake.calls[-1].headers["authorization"].startswith("Bearer ")


STATES = [  # payload, state, percent, error code, usage
    ("queued", "running", 0, None, {}),
    ("in_progress", "running", 33, None, {}),
    ("completed", "succeeded", 100, None, {"calls": 1, "seconds": 8}),
    ("failed", "failed", None, "provider_failed", {}),
    ("blocked", "failed", None, "content_policy_violation", {}),
    ("failed_without_a_word", "failed", None, "provider_failed", {}),
    ("bare_completed", "succeeded", 100, None, {"calls": 1}),
    ("bare_failed", "failed", None, "provider_failed", {}),
    ("odd_figures", "succeeded", 100, None, {"calls": 1}),
]
"""As OpenAI's reference has them, with all fields; "bare": what a gateway leaves out or says null for."""


@pytest.mark.parametrize(("name", "state", "percent", "code", "usage"), STATES, ids=[s[0] for s in STATES])
async def test_a_state_means(videos, fake, tools, name, state, percent, code, usage):
    told = tools.payload("videos")[name]
    fake.videos[told["id"]] = told
    fake.polls_to_end = 9
    fake.as_it_is = True
    found = await videos().poll(told["id"])
    assert (found.provider_job_id, found.state, found.percent) == (told["id"], state, percent)
    assert (found.error and found.error.code, found.usage) == (code, usage)
    assert len(found.files) == (state == "succeeded")


@pytest.mark.parametrize(
    "body", [{}, {"id": "video_1"}, {"id": "../x", "status": "queued"}, {"id": "v", "status": "new"}]
)
async def test_what_is_no_video_is_an_error(videos, fake, body):
    fake.videos["video_1"], fake.as_it_is = body, True
    with pytest.raises(ProviderError) as raised:
        await videos().poll("video_1")
    assert raised.value.code == "provider_bad_answer"


@pytest.mark.parametrize(
    ("how", "code", "named", "again"),
    [
        ("failed", "provider_failed", None, True),
        ("refused", "content_policy_violation", "prompt", False),
        ("unusable", "provider_no_result", None, False),
    ],
)
async def test_an_end_that_is_no_film_says_why(videos, fake, film, how, code, named, again):
    started = await videos().submit(film())
    fake.end_video(started.provider_job_id, how)
    found = await videos().poll(started.provider_job_id)
    assert (found.state, found.files) == ("failed", ())
    assert (found.error.code, found.error.input, found.error.retryable) == (code, named, again)
    assert await videos().cancel(started.provider_job_id) is False


@pytest.mark.parametrize("mode", ["500", "cut", "429"])
async def test_a_file_that_does_not_come_is_asked_for_again(videos, fake, film, mode):
    started = await videos().submit(film())
    fake.end_video(started.provider_job_id, "succeeded")
    fake.fail(mode, "/content$", times=4)
    with pytest.raises(ProviderError) as raised:
        await videos().poll(started.provider_job_id)
    assert raised.value.retryable
    assert (await videos().poll(started.provider_job_id)).state == "succeeded"


async def test_a_page_in_the_place_of_a_film_is_no_film(videos, fake, film):
    started = await videos().submit(film())
    fake.end_video(started.provider_job_id, "succeeded")
    fake.fail("wrong_type", "/content$")
    found = await videos().poll(started.provider_job_id)
    assert (found.state, found.error.code) == ("failed", "provider_no_result")
    assert "application/json" in found.error.message
    assert found.usage == {"calls": 1, "seconds": 8}  # it was made, and is charged


async def test_a_film_that_is_lost_is_charged(videos, fake, film):
    started = await videos().submit(film())
    fake.end_video(started.provider_job_id, "unusable")
    found = await videos().poll(started.provider_job_id)
    assert (found.error.code, found.usage) == ("provider_no_result", {"calls": 1, "seconds": 8})


async def test_a_film_that_is_done_at_once_is_fetched_by_a_poll(videos, fake, film):
    fake.films_at_once = True
    fake.fail("500", "/content$", times=4)
    started = await videos().submit(film())  # paid: what goes wrong from here on must not begin another one
    assert (started.state, len(fake.asked("POST", "/v1/videos$"))) == ("running", 1)
    with pytest.raises(ProviderError):
        await videos().poll(started.provider_job_id)
    assert (await videos().poll(started.provider_job_id)).state == "succeeded"


async def test_two_who_fetch_the_same_film_do_not_write_into_one_file(videos, fake, film):
    started = await videos().submit(film())
    fake.end_video(started.provider_job_id, "succeeded")
    both, targets = [videos(), videos()], []
    for one in both:
        usual = one._calls._http.download

        async def noted(url, target, usual=usual):
            targets.append(target)
            return await usual(url, target)

        one._calls._http.download = noted
    done = await asyncio.gather(*(one.poll(started.provider_job_id) for one in both))
    assert {one.state for one in done} == {"succeeded"}
    assert len(set(targets)) == 2
    (file,) = done[0].files
    assert [path.name for path in file.path.parent.iterdir()] == [file.path.name]


async def test_a_job_whose_answer_is_lost_is_never_started_twice(videos, fake, film):
    for mode in ("lost", "500", "malformed"):
        fake.fail(mode, "/v1/videos$")
        with pytest.raises(OutcomeUnknownError):
            await videos().submit(film())
    assert len(fake.asked("POST", "/v1/videos$")) == 3


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"params": {"remix": "video_1"}}, "params"),
        ({"model": "sora-9"}, "model"),
        ({"width": 0}, "size"),
        ({"kind": ClipRequest, "references": "still"}, "references"),
        ({"kind": ClipRequest, "last_image": "still"}, "last_image"),
    ],
)
async def test_what_the_protocol_has_not_is_not_sent(videos, fake, film, changed, named):
    still = film().image
    given = {name: {"references": (still,)}.get(name, still) if value == "still" else value
             for name, value in changed.items()}  # fmt: skip
    with pytest.raises(ProviderRejectedError) as caught:
        await videos().submit(film(**given))
    assert caught.value.extra["input"] == named
    assert fake.calls == []


async def test_a_still_of_another_format_is_refused(videos, fake, film, tmp_path):
    (tmp_path / "panel.gif").write_bytes(b"GIF89a")
    with pytest.raises(ProviderRejectedError) as caught:
        await videos().submit(film(image=tmp_path / "panel.gif"))
    assert (caught.value.code, caught.value.extra["input"]) == ("image_refused", "image")
    assert fake.calls == []


async def test_another_server_makes_any_length_and_size(videos, fake, film, openai_fakes):
    fake.video_seconds = None
    await videos(video_seconds=(), video_sizes=()).submit(film(width=832, height=480, duration_ms=5200))
    given = sent(fake, openai_fakes)
    assert (given["seconds"], given["size"]) == (b"6", b"832x480")


@pytest.mark.parametrize("job_id", ["../files", "a/b", "a?b=c", "", "é"])
async def test_an_id_that_is_no_id_never_leaves_the_house(videos, fake, job_id):
    with pytest.raises(ProviderRejectedError):
        await videos().poll(job_id)
    assert fake.calls == []


async def test_the_price_goes_by_the_seconds_that_are_made(videos, film):
    prices = {"wan-2.2": {"kind": "per_second", "unit_uusd": 100_000}}
    assert videos(prices=prices).estimate(film()).cost_uusd == 800_000
    assert videos().estimate(film()).cost_uusd is None


@pytest.mark.pure
@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(1280, 720, "1280x720"), (720, 1280, "720x1280"), (1920, 1080, "1280x720"), (1792, 1024, "1792x1024")],
)
def test_the_size_is_the_offered_one_of_the_nearest_proportions(width, height, size):
    assert size_of(width, height, OpenaiSettings().video_sizes) == size
