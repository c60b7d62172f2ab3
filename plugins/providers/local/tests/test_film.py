"""Films: picture, sound, subtitles, exports, and what is made again after a change."""

from __future__ import annotations

import asyncio
import re
import wave
import xml.etree.ElementTree as ET

import numpy as np
import opentimelineio as otio
import pysubs2
import pytest

from studio import ProviderRejectedError, ProviderUnavailableError, ShotBrief, WordTiming
from studio_local.drawing.panel import draw_panel
from studio_local.ffmpeg import SILENCE_LUFS
from studio_local.film.aac import FRAME, STRETCH, adts_frames, encode_in_stretches
from studio_local.film.exports import TIMECODE_RATES, export_timeline
from studio_local.film.renderer import LocalFilmRenderer
from studio_local.film.sound import MUSIC_LUFS, levelled_music, levelled_voice
from studio_local.runtime import runtime_of
from studio_workbench.api import FilmLine, FilmRequest, FilmShot

pytestmark = pytest.mark.child
WORDS = (("We", 0, 200), ("leave", 200, 500), ("at", 500, 700), ("dawn.", 700, 1200))
MOVES = ("push_in", "static", "pan_left", "tilt_up")


def spoken(words=WORDS):
    return tuple(WordTiming(text=text, start_ms=start, end_ms=end) for text, start, end in words)


class Stage:
    """A film's inputs in a folder with a name that ffmpeg would read as syntax."""

    def __init__(self, root, tools):
        self.root = root / "it's, [a]:b%d"
        self.root.mkdir()
        self.tools = tools
        self.voice = tools.tone(self.root / "voice.wav", 1.2, 700)
        self.music = tools.tone(self.root / "music.wav", 3, 220, rate=44100)
        self.panels = [
            tools.still(self.root / f"p{i}.jpg", (30 + 60 * i, 90, 160 - 40 * i)) for i in range(4)
        ]

    def shots(self, **changes):
        line = FilmLine(
            audio=self.voice,
            start_ms=300,
            duration_ms=1200,
            text="We leave at dawn.",
            speaker="ANNA",
            words=spoken(),
        )
        made = [
            FilmShot(
                id=f"s{i}",
                code=f"1{'ABCD'[i]}",
                panel=self.panels[i],
                movement=MOVES[i],
                duration_ms=2000,
                lines=(line,) if i % 2 else (),
            )
            for i in range(4)
        ]
        for index, change in changes.items():
            number = int(index[1:])
            made[number] = made[number].model_copy(update=change)
        return tuple(made)

    def request(self, job_id, shots=None, **changes):
        kept = {"title": "Low Tide", "width": 320, "height": 180, "cache_dir": self.root / "cache"}
        kept |= {"music": self.music, "out_dir": self.root / "out" / job_id, "shots": shots or self.shots()}
        return FilmRequest(job_id=job_id, **(kept | changes))


@pytest.fixture(scope="module")
def stage(tmp_path_factory, tools):
    return Stage(tmp_path_factory.mktemp("film"), tools)


@pytest.fixture
def own_stage(tmp_path, tools):
    return Stage(tmp_path, tools)


@pytest.fixture(scope="module")
async def film(stage, warm, tools):
    """One finished film, looked at by most tests."""
    done = await tools.finished(LocalFilmRenderer(warm), stage.request("first"))
    assert done.state == "succeeded", done.error
    return done


def file_of(done, suffix):
    return next(file.path for file in done.files if file.path.suffix == f".{suffix}")


async def rendered(stage, warm, tools, job_id, **changes):
    done = await tools.finished(LocalFilmRenderer(warm), stage.request(job_id, **changes))
    assert done.state == "succeeded", done.error
    return done


# ---------------------------------------------------------------- the film itself


def test_film_decodes_whole_with_every_frame(film, tools):
    seen = tools.decode(file_of(film, "mp4"))
    assert seen.frames == 4 * 48
    assert abs(seen.duration_ms - 8000) <= 45
    assert film.files[0].duration_ms == 8000


def test_streams_are_what_every_player_takes(film, tools):
    seen = tools.decode(file_of(film, "mp4"))
    assert seen.video.startswith("h264")
    assert "yuv420p(tv, bt709" in seen.video  # a JPEG without its scale filter gives yuvj420p(pc)
    assert "320x180" in seen.video
    assert seen.audio.startswith("aac (LC)")
    assert "48000 Hz, stereo" in seen.audio


def test_voices_stand_at_their_times(film, tools):
    heard = tools.sound(file_of(film, "mp4"))
    inside, outside = heard[int(2.5 * 48000) : int(3.3 * 48000)], heard[int(4.2 * 48000) : int(5.8 * 48000)]
    assert strength(inside, 700) > 20 * strength(outside, 700)
    begins = [ms for ms in range(2000, 2600, 10) if strength(heard[ms * 48 : (ms + 40) * 48], 700) > 0.02]
    assert abs(begins[0] + 40 - 2300) < 45


def test_music_sounds_and_ducks_under_the_voice(film, tools):
    heard = tools.sound(file_of(film, "mp4"))
    alone, under = (
        strength(heard[int(a * 48000) : int(b * 48000)], 220) for a, b in ((1.0, 2.0), (2.8, 3.4))
    )
    assert alone > 0.003
    assert under < alone / 1.6


def strength(samples, hertz):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) / len(samples) * 4
    return spectrum[round(hertz * len(samples) / 48000)]


def test_subtitles_are_burned_in_with_the_shipped_font(film, stage, tools):
    spoken_at, silent_at = 2.9, 2.05
    words, nothing = (white(tools.pixels(file_of(film, "mp4"), at)) for at in (spoken_at, silent_at))
    assert words > nothing + 60


def white(picture):
    lower = np.asarray(picture)[130:]
    return int((lower.min(axis=2) > 180).sum())


async def test_subtitles_stay_out_when_not_wanted(stage, warm, tools):
    done = await rendered(stage, warm, tools, "plain", burn_subtitles=False)
    assert white(tools.pixels(file_of(done, "mp4"), 2.9)) < 10
    assert file_of(done, "srt").exists()


def test_still_shot_stands_and_moving_shot_moves(film, tools):
    def change(first, second):
        return np.abs(
            np.asarray(tools.pixels(file_of(film, "mp4"), first)).astype(int)[:120]
            - np.asarray(tools.pixels(file_of(film, "mp4"), second)).astype(int)[:120]
        ).mean()

    assert change(0.1, 1.9) > 8
    assert change(2.1, 3.9) < 3


async def test_slate_of_a_panel_stands_still_while_the_camera_moves(own_stage, warm, tools):
    brief = ShotBrief(code="12C", int_ext="EXT", location="HARBOUR").model_dump(mode="json")
    panel = own_stage.root / "drawn.jpg"
    draw_panel({"brief": brief, "seed": 3, "width": 640, "height": 360, "out": str(panel)})
    shot = own_stage.shots(s0={"panel": panel, "movement": "pan_right"})[0]
    done = await rendered(own_stage, warm, tools, "slate", shots=(shot,), music=None, width=640, height=360)
    seen = [np.asarray(tools.pixels(file_of(done, "mp4"), at, "640x360")).astype(int) for at in (0, 1, 1.9)]
    chips = [np.argwhere((np.abs(picture - (245, 196, 83)).max(axis=2) < 40)[:60, :120]) for picture in seen]
    places = [(chip.min(axis=0).tolist(), chip.max(axis=0).tolist()) for chip in chips]
    assert len(chips[0]) > 150
    assert places[0] == places[1] == places[2]
    assert np.abs(seen[0][120:] - seen[2][120:]).mean() > 3


async def test_voice_is_resampled_after_loudnorm_and_louder(stage, warm, tools, tmp_path):
    quiet = tools.tone(tmp_path / "quiet.wav", 1.5, 500, level=400)
    runtime = runtime_of(warm)
    made = await levelled_voice(quiet, tmp_path, tmp_path, runtime.ffmpeg)
    with wave.open(str(made)) as file:
        assert file.getframerate() == 48000  # loudnorm alone answers at 192,000
        assert abs(file.getnframes() / 48000 - 1.5) < 0.02
    assert np.abs(tools.sound(made)).max() > 5 * np.abs(tools.sound(quiet)).max()


@pytest.mark.parametrize(("level", "rate"), [(20_000, 44_100), (1_500, 22_050)])
async def test_music_is_brought_to_its_loudness_as_a_whole(warm, tools, tmp_path, level, rate):
    loud = tools.tone(tmp_path / "loud.wav", 3, 440, rate=rate, level=level)
    ffmpeg = runtime_of(warm).ffmpeg
    made = await levelled_music(loud, tmp_path, tmp_path, ffmpeg)
    assert await ffmpeg.loudness(made.name, cwd=tmp_path) == pytest.approx(MUSIC_LUFS, abs=0.5)
    with wave.open(str(made)) as file:
        assert file.getframerate() == 48000


async def test_silent_music_stays_silent(warm, tools, tmp_path):
    silent = tools.tone(tmp_path / "silent.wav", 1, level=0)
    ffmpeg = runtime_of(warm).ffmpeg
    made = await levelled_music(silent, tmp_path, tmp_path, ffmpeg)
    assert await ffmpeg.loudness(made.name, cwd=tmp_path) == SILENCE_LUFS


# ---------------------------------------------------------------- papers


def test_srt_reads_back_with_times_on_the_film(film):
    lines = pysubs2.load(str(file_of(film, "srt")))
    assert [(event.start, event.end, event.text) for event in lines] == [
        (2300, 3500, "We leave at dawn."), (6300, 7500, "We leave at dawn."),
    ]  # fmt: skip


def test_vtt_and_ass_time_every_word(film):
    vtt = file_of(film, "vtt").read_text()
    assert (
        "00:00:02.300 --> 00:00:03.500\n<v ANNA>We <00:00:02.500>leave <00:00:02.800>at <00:00:03.000>dawn."
        in vtt
    )
    line = pysubs2.load(str(file_of(film, "ass"))).events[0]
    assert [int(k) for k in re.findall(r"\\k(\d+)", line.text)] == [20, 30, 20, 50]
    assert pysubs2.load(str(file_of(film, "ass"))).styles["Default"].fontname == "DejaVu Sans"


def test_otio_reads_back_as_long_as_the_film(film):
    timeline = otio.adapters.read_from_file(str(file_of(film, "otio")))
    picture = timeline.video_tracks()[0]
    assert [clip.name for clip in picture] == ["1A", "1B", "1C", "1D"]
    assert picture.duration().value == 4 * 48
    voices = timeline.audio_tracks()[0]
    starts = [voices.trimmed_range_of_child(clip).start_time.to_seconds() for clip in voices.find_clips()]
    assert starts == pytest.approx([2.3, 6.3], abs=0.03)
    assert timeline.audio_tracks()[1].name == "Music"


def test_edl_reads_back_with_the_official_adapter(film):
    edl = file_of(film, "edl").read_text()
    track = otio.adapters.read_from_string(edl, "cmx_3600", rate=24).video_tracks()[0]
    assert [clip.name for clip in track] == ["1A", "1B", "1C", "1D"]
    assert track.duration().value == 4 * 48
    assert "00:00:06:00 00:00:08:00" in edl


def test_fcpxml_is_whole_and_names_every_medium(film):
    root = ET.fromstring(file_of(film, "fcpxml").read_bytes())
    spine = root.find(".//spine")
    assert [shot.get("offset") for shot in spine] == ["0/24s", "48/24s", "96/24s", "144/24s"]
    assert root.find(".//sequence").get("duration") == "192/24s"
    assets = {asset.get("id"): asset.find("media-rep").get("src") for asset in root.iter("asset")}
    used = [element.get("ref") for element in spine.iter() if element.get("ref")]
    assert sorted(used) == sorted(assets)
    assert set(assets.values()) <= set(film.data["media"])


@pytest.mark.parametrize("fps", [12, 23, 29, 59, 60])
async def test_film_is_made_at_any_rate_and_skips_what_cannot_carry_it(own_stage, warm, tools, fps):
    shots = own_stage.shots(s0={"duration_ms": 1100})[:2]
    done = await tools.finished(
        LocalFilmRenderer(warm), own_stage.request(f"rate{fps}", shots=shots, fps=fps)
    )
    assert done.state == "succeeded", done.error
    frames = round(1.1 * fps) + 2 * fps
    seen = tools.decode(file_of(done, "mp4"))
    assert (seen.frames, abs(seen.duration_ms - frames * 1000 / fps) <= 45) == (frames, True)
    assert otio.adapters.read_from_file(str(file_of(done, "otio"))).duration().rate == fps
    assert f'frameDuration="1/{fps}s"' in file_of(done, "fcpxml").read_text()
    edls = [file for file in done.files if file.path.suffix == ".edl"]
    assert (len(edls), list(done.data["skipped"])) == ((1, []) if fps == 60 else (0, ["edl"]))


@pytest.mark.parametrize("fps", range(12, 61))
def test_exports_of_every_rate_of_a_project_read_back(tmp_path, fps):
    out = {kind: str(tmp_path / f"film.{kind}") for kind in ("otio", "edl", "fcpxml")}
    shot = {"id": "s", "code": "1A", "start": 0, "frames": 3 * fps + 1, "media": "media/1.jpg"}
    shot |= {"moving": False, "voices": []}
    plan = {"title": "T", "fps": fps, "width": 320, "height": 180, "frames": 3 * fps + 1, "music": None}
    skipped = export_timeline(plan | {"shots": [shot], "out": out})["skipped"]
    assert otio.adapters.read_from_file(out["otio"]).duration().value == 3 * fps + 1
    if fps in TIMECODE_RATES:
        read = otio.adapters.read_from_string((tmp_path / "film.edl").read_text(), "cmx_3600", rate=fps)
        assert (read.duration().value, skipped) == (3 * fps + 1, {})
    else:
        assert f"this film has {fps}" in skipped["edl"]


def test_media_names_lead_to_the_sources(film, stage):
    assert film.data["media"]["media/002_1B_1.wav"] == str(stage.voice)
    assert film.data["media"]["media/001_1A.jpg"] == str(stage.panels[0])


# ---------------------------------------------------------------- what is made again


async def test_nothing_is_rendered_again_when_nothing_changed(film, stage, warm, tools):
    assert film.data["rendered_segments"] == 4
    assert (await rendered(stage, warm, tools, "again")).data["rendered_segments"] == 0


async def test_one_changed_line_renders_exactly_one_segment(film, stage, warm, tools):
    line = stage.shots()[1].lines[0].model_copy(update={"text": "We stay here now."})
    done = await rendered(stage, warm, tools, "line", shots=stage.shots(s1={"lines": (line,)}))
    assert done.data["rendered_segments"] == 1
    assert "We stay here now." in file_of(done, "srt").read_text()


async def test_other_voice_with_the_same_words_renders_no_picture(film, stage, warm, tools):
    voice = tools.tone(stage.root / "other.wav", 1.2, 400)
    line = stage.shots()[1].lines[0].model_copy(update={"audio": voice})
    done = await rendered(stage, warm, tools, "voice", shots=stage.shots(s1={"lines": (line,)}))
    assert done.data["rendered_segments"] == 0
    heard = tools.sound(file_of(done, "mp4"))[int(2.5 * 48000) : int(3.3 * 48000)]
    assert strength(heard, 400) > 20 * strength(heard, 700)


async def test_other_music_renders_no_picture(film, stage, warm, tools):
    music = tools.tone(stage.root / "music2.wav", 2, 330)
    assert (await rendered(stage, warm, tools, "music", music=music)).data["rendered_segments"] == 0


async def test_changed_panel_movement_and_length_each_render_their_own(film, stage, warm, tools):
    shots = stage.shots(s0={"movement": "pull_out"}, s2={"duration_ms": 2500}, s3={"panel": stage.panels[0]})
    done = await rendered(stage, warm, tools, "three", shots=shots)
    assert done.data["rendered_segments"] == 3
    assert tools.decode(file_of(done, "mp4")).frames == 3 * 48 + 60


async def test_equal_shots_share_one_segment(own_stage, warm, tools):
    shots = tuple(own_stage.shots()[0].model_copy(update={"id": f"x{i}"}) for i in range(3))
    done = await rendered(own_stage, warm, tools, "same", shots=shots, music=None)
    assert done.data["rendered_segments"] == 1
    assert tools.decode(file_of(done, "mp4")).frames == 3 * 48


async def test_changed_line_encodes_only_its_stretch_of_sound(own_stage, warm, tools, monkeypatch):
    long_shot = own_stage.shots()[1].model_copy(update={"duration_ms": 13000, "movement": "static"})
    shots = tuple(long_shot.model_copy(update={"id": f"l{i}"}) for i in range(2))
    await rendered(own_stage, warm, tools, "long", shots=shots, music=None)
    before = set((own_stage.root / "cache" / "sound").glob("*.aac"))
    voice = tools.tone(own_stage.root / "new.wav", 1.2, 300)
    line = long_shot.lines[0].model_copy(update={"audio": voice})
    changed = (long_shot, shots[1].model_copy(update={"lines": (line,)}))
    await rendered(own_stage, warm, tools, "long2", shots=changed, music=None)
    assert len(before) == 3
    assert len(set((own_stage.root / "cache" / "sound").glob("*.aac")) - before) == 1


async def test_stretches_sound_as_if_encoded_in_one_piece(warm, tools, tmp_path):
    rate, frames = 48000, STRETCH + 200
    t = np.arange(frames * FRAME) / rate
    wave_ = 0.3 * np.sin(2 * np.pi * (200 + 40 * t) * t)
    pcm = (np.stack([wave_, wave_ * 0.6], axis=1) * 32767).astype("<i2")
    (tmp_path / "mix.raw").write_bytes(pcm.tobytes())
    joined = await encode_in_stretches(tmp_path / "mix.raw", tmp_path, tmp_path, runtime_of(warm).ffmpeg)
    assert len(adts_frames(joined.read_bytes())) == frames
    heard = tools.sound(joined)
    wanted = pcm.astype(float).mean(axis=1) / 32768
    error = np.abs(heard[FRAME : len(wanted)] - wanted[FRAME:])
    seam = (STRETCH - 2) * FRAME, (STRETCH + 2) * FRAME
    assert error[slice(*seam)].max() < max(0.02, 1.5 * error[5 * FRAME : 60 * FRAME].max())


# ---------------------------------------------------------------- odd inputs


async def test_line_without_voice_is_a_subtitle_only(own_stage, warm, tools):
    line = own_stage.shots()[1].lines[0].model_copy(update={"audio": None})
    done = await rendered(
        own_stage, warm, tools, "silent", shots=(own_stage.shots(s1={"lines": (line,)})[1],), music=None
    )
    assert "We leave at dawn." in file_of(done, "srt").read_text()
    assert np.abs(tools.sound(file_of(done, "mp4"))).max() < 0.001


async def test_clip_replaces_the_panel_and_is_held_to_the_end(own_stage, warm, tools):
    clip = own_stage.root / "clip.mov"
    tools.ffmpeg("-v", "error", "-f", "lavfi", "-i", "color=red:s=640x360:r=30:d=1", clip)
    shot = own_stage.shots(s0={"clip": clip})[0]
    done = await rendered(own_stage, warm, tools, "clip", shots=(shot,), music=None)
    assert tools.decode(file_of(done, "mp4")).frames == 48
    red, green, blue = tools.pixels(file_of(done, "mp4"), 1.8).getpixel((160, 90))
    assert red > 200
    assert max(green, blue) < 60


async def test_shot_stretches_until_its_line_is_spoken(own_stage, warm, tools):
    shot = own_stage.shots(s1={"duration_ms": 500})[1]
    done = await rendered(own_stage, warm, tools, "short", shots=(shot,), music=None)
    assert done.files[0].duration_ms >= 1500
    assert strength(tools.sound(file_of(done, "mp4"))[int(1.2 * 48000) : int(1.45 * 48000)], 700) > 0.02


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"shots": ()}, "shots"),
        ({"width": 321}, "size"),
        ({"fps": 0}, "size"),
        ({"music": "gone.wav"}, "music"),
    ],
)
async def test_impossible_films_are_refused(stage, warm, change, part):
    request = stage.request("bad").model_copy(update=change)
    if part == "music":
        request = request.model_copy(update={"music": stage.root / "gone.wav"})
    with pytest.raises(ProviderRejectedError) as caught:
        await LocalFilmRenderer(warm).submit(request)
    assert caught.value.extra["input"] == part


async def test_missing_panel_and_voice_are_named(stage, warm):
    line = stage.shots()[1].lines[0].model_copy(update={"audio": stage.root / "gone.wav"})
    for change, part in (({"panel": stage.root / "gone.jpg"}, "panel"), ({"lines": (line,)}, "voice")):
        with pytest.raises(ProviderRejectedError) as caught:
            await LocalFilmRenderer(warm).submit(stage.request("bad", shots=stage.shots(s1=change)))
        assert caught.value.extra["input"] == part


async def test_panel_that_is_no_picture_fails_and_leaves_no_film(own_stage, warm, tools):
    own_stage.panels[0].write_bytes(b"no picture")
    done = await tools.finished(LocalFilmRenderer(warm), own_stage.request("broken"))
    assert (done.state, done.error.code, done.error.input) == ("failed", "provider_rejected", "image")
    assert not list((own_stage.root / "out" / "broken").glob("*.mp4"))


async def test_missing_ffmpeg_says_how_to_install_it(fresh, stage, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ProviderUnavailableError, match=r"pip install 'studio-provider-local\[media\]'"):
        await LocalFilmRenderer(fresh()).submit(stage.request("none"))


async def test_full_disk_fails_as_storage_full_with_nothing_half_written(fresh, own_stage, tools):
    provider = LocalFilmRenderer(fresh())
    with tools.file_limit(40_000):
        done = await tools.finished(provider, own_stage.request("full"))
    assert (done.state, done.error.code, done.error.retryable) == ("failed", "storage_full", True)
    assert not [p for p in own_stage.root.rglob("*") if p.suffix == ".mp4" or p.name.startswith(".part-")]
    retried = await tools.finished(provider, own_stage.request("full2"))
    assert retried.state == "succeeded"


async def test_slow_ffmpeg_meets_its_deadline(fresh, own_stage, tools):
    provider = LocalFilmRenderer(fresh(ffmpeg_deadline_s=0.01))
    done = await tools.finished(provider, own_stage.request("slow"))
    assert (done.error.code, done.error.retryable) == ("deadline_exceeded", True)


async def test_cancel_stops_the_render_and_its_processes(fresh, own_stage, tools):
    ctx = fresh()
    provider = LocalFilmRenderer(ctx)
    shots = tuple(
        own_stage.shots()[0].model_copy(update={"id": f"c{i}", "duration_ms": 60_000 + i * 100})
        for i in range(4)
    )
    started = await provider.submit(own_stage.request("stop", shots=shots))
    assert started.state == "running"
    assert await provider.cancel(started.provider_job_id)
    assert (await provider.poll(started.provider_job_id)).state == "cancelled"
    assert not runtime_of(ctx).workers._busy
    assert not list((own_stage.root / "out" / "stop").iterdir())
    assert not await provider.cancel(started.provider_job_id)


async def test_progress_rises_and_ends_at_a_hundred(own_stage, warm, tools, monkeypatch):
    provider = LocalFilmRenderer(warm)
    seen = []
    reporter = provider._jobs._reporter

    def spy(job_id):
        report = reporter(job_id)
        return lambda percent: (seen.append(percent), report(percent))

    monkeypatch.setattr(provider._jobs, "_reporter", spy)
    done = await tools.finished(provider, own_stage.request("progress"))
    assert seen == sorted(seen)
    assert len(seen) >= 6
    assert max(seen) <= 99
    assert done.percent == 100


async def test_unused_cache_is_pruned_after_a_render(own_stage, warm, tools):
    old = own_stage.root / "cache" / "segments" / "old.mp4"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"x")
    import os

    os.utime(old, (1, 1))
    await rendered(own_stage, warm, tools, "prune", shots=own_stage.shots()[:1])
    assert not old.exists()


async def test_two_renders_at_once_do_not_disturb_each_other(own_stage, warm, tools):
    both = await asyncio.gather(*(rendered(own_stage, warm, tools, name) for name in ("one", "two")))
    assert [tools.decode(file_of(done, "mp4")).frames for done in both] == [192, 192]
