"""Jobs on disk: they survive a kill, end once, and leave nothing running."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import studio_local
from studio import (
    ChatRequest,
    DeadlineExceededError,
    ProviderError,
    ProviderRejectedError,
    StorageFullError,
    VideoRequest,
    VoiceRequest,
)
from studio_local.jobs import LocalGenerator, LocalJobs, Outcome, describe
from studio_local.runtime import runtime_of
from studio_local.video import LocalVideoGenerator
from studio_local.voice import LocalVoiceGenerator

pytestmark = pytest.mark.child


class Echo(LocalGenerator[ChatRequest]):
    """Work whose length and outcome a test decides."""

    kind = "echo"
    request_type = ChatRequest

    def __init__(self, jobs, gate=None, error=None):
        super().__init__(jobs)
        self.gate, self.error, self.runs = gate, error, 0

    async def produce(self, request, job):
        self.runs += 1
        job.progress(40)
        if self.gate:
            await self.gate.wait()
        if self.error:
            raise self.error
        return Outcome(data={"said": request.model})


def ask(job_id="j1"):
    return ChatRequest(job_id=job_id, messages=(), model="m")


@pytest.fixture
def jobs(tmp_path):
    return LocalJobs(tmp_path / "jobs", keep_h=1)


async def test_quick_work_is_answered_by_submit(jobs):
    done = await Echo(jobs).submit(ask())
    assert (done.state, done.data, done.percent, done.cost_uusd) == ("succeeded", {"said": "m"}, 100, 0)
    assert done.provider_job_id == "echo-j1"


async def test_poll_of_one_of_a_few_jobs_hears_its_end_at_once(jobs, monkeypatch):
    gate = asyncio.Event()
    provider = Echo(jobs, gate)
    running = await provider.submit(ask())
    monkeypatch.setattr("studio_local.jobs.QUICK_S", 20.0)
    asyncio.get_running_loop().call_soon(gate.set)
    assert (await provider.poll("echo-j1")).state == "succeeded"
    assert running.retry_after_s < 0.1


async def test_poll_of_one_of_many_jobs_does_not_wait_for_it(jobs, monkeypatch):
    gate = asyncio.Event()
    provider = Echo(jobs, gate)
    monkeypatch.setattr("studio_local.jobs.QUICK_S", 0.01)
    last = [await provider.submit(ask(f"j{number}")) for number in range(5)][-1]
    monkeypatch.setattr("studio_local.jobs.QUICK_S", 20.0)
    asked = await provider.poll("echo-j1")
    gate.set()
    await asyncio.wait(jobs._tasks.values())
    assert (asked.state, asked.retry_after_s) == ("running", last.retry_after_s)


async def test_request_is_on_disk_before_submit_answers(jobs, tmp_path):
    gate = asyncio.Event()
    provider = Echo(jobs, gate)
    started = await provider.submit(ask())
    assert (started.state, started.percent) == ("running", 40)
    assert json.loads((tmp_path / "jobs" / "echo-j1" / "request.json").read_text())["model"] == "m"
    gate.set()
    await asyncio.wait(jobs._tasks.values())
    assert (await provider.poll("echo-j1")).state == "succeeded"


async def test_work_of_a_dead_server_starts_again_at_the_next_poll(jobs, tmp_path):
    before = Echo(jobs, asyncio.Event())
    await before.submit(ask())
    await jobs.close()
    after = Echo(LocalJobs(tmp_path / "jobs", keep_h=1))
    first = await after.poll("echo-j1")
    await asyncio.gather(*after._jobs._tasks.values())
    assert first.state in {"running", "succeeded"}
    assert (await after.poll("echo-j1")).state == "succeeded"
    assert after.runs == 1


async def test_finished_work_is_not_repeated_after_a_restart(jobs, tmp_path):
    await Echo(jobs).submit(ask())
    after = Echo(LocalJobs(tmp_path / "jobs", keep_h=1))
    assert (await after.poll("echo-j1")).data == {"said": "m"}
    assert after.runs == 0


async def test_work_that_runs_in_another_process_is_left_to_it(jobs, tmp_path):
    gate = asyncio.Event()
    await Echo(jobs, gate).submit(ask())
    other = Echo(LocalJobs(tmp_path / "jobs", keep_h=1))
    seen = await other.poll("echo-j1")
    await asyncio.gather(*other._jobs._tasks.values())
    assert (seen.state, seen.percent, other.runs) == ("running", 40, 0)
    gate.set()
    await asyncio.wait(jobs._tasks.values())
    assert (await other.poll("echo-j1")).state == "succeeded"


async def test_same_job_twice_runs_once(jobs):
    provider = Echo(jobs)
    await asyncio.gather(provider.submit(ask()), provider.submit(ask()))
    await provider.submit(ask())
    assert provider.runs == 1


async def test_unknown_id_is_refused(jobs):
    for job_id in ("echo-never", "../../etc", ""):
        with pytest.raises(ProviderRejectedError):
            await Echo(jobs).poll(job_id)


async def test_strange_job_ids_become_safe_folders(jobs, tmp_path):
    done = await Echo(jobs).submit(ask("a/b: ü" * 40))
    assert done.state == "succeeded"
    assert [path.name for path in (tmp_path / "jobs").iterdir()] == [done.provider_job_id]


async def test_cancel_ends_the_task_for_good(jobs):
    provider = Echo(jobs, asyncio.Event())
    await provider.submit(ask())
    assert await provider.cancel("echo-j1")
    assert not jobs._tasks
    assert (await provider.poll("echo-j1")).state == "cancelled"


async def test_cancel_of_finished_work_says_no_and_keeps_it(jobs):
    provider = Echo(jobs)
    await provider.submit(ask())
    assert not await provider.cancel("echo-j1")
    assert (await provider.poll("echo-j1")).state == "succeeded"


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (ProviderError("x"), "provider_failed", True), (ProviderRejectedError("x"), "provider_rejected", False),
        (StorageFullError("x"), "storage_full", True), (DeadlineExceededError("x"), "deadline_exceeded", True),
        (OSError(28, "no space"), "storage_full", True), (ZeroDivisionError("x"), "internal_error", False),
        (ExceptionGroup("g", [StorageFullError("x")]), "storage_full", True),
    ],
)  # fmt: skip
async def test_failures_are_results_with_codes(jobs, error, code, retryable):
    failed = await Echo(jobs, error=error).submit(ask())
    assert (failed.state, failed.error.code, failed.error.retryable) == ("failed", code, retryable)


def test_refused_part_is_named():
    assert describe(ProviderRejectedError("no", input="voice")).input == "voice"


async def test_janitor_removes_old_folders_only(jobs, tmp_path):
    for job_id in ("old", "new"):
        await Echo(jobs).submit(ask(job_id))
    os.utime(tmp_path / "jobs" / "echo-old", (time.time() - 7200,) * 2)
    assert jobs.clean(time.time()) == 1
    assert [path.name for path in (tmp_path / "jobs").iterdir()] == ["echo-new"]


async def test_lifespan_cleans_at_once_and_ends_the_children(fresh):
    ctx = fresh(keep_jobs_h=1)
    runtime = runtime_of(ctx)
    old = runtime.settings.work_dir / "jobs" / "echo-old"
    old.mkdir(parents=True)
    os.utime(old, (1, 1))
    async with runtime.running():
        await runtime.work(
            "mix_track", {"voices": [], "music": None, "samples": 10, "out": str(old.parent / "v.wav")}
        )
        process = runtime.workers._idle[0].process
    assert not old.exists()
    assert process.returncode == -signal.SIGKILL


async def test_worker_that_crashes_gives_an_error_and_is_replaced(fresh):
    runtime = runtime_of(fresh())
    with pytest.raises(ProviderError, match=r"KeyError.*shot_size|ended with code 1"):
        await runtime.work("draw", {"brief": {"location": "", "code": ""}, "seed": 1})
    assert not runtime.workers._busy
    out = runtime.settings.work_dir
    out.mkdir(parents=True)
    assert await runtime.work(
        "mix_track", {"voices": [], "music": None, "samples": 5, "out": str(out / "v.wav")}
    ) == {"samples": 5}


async def test_worker_past_its_deadline_is_killed(fresh):
    runtime = runtime_of(fresh(child_deadline_s=0.05))
    runtime.settings.work_dir.mkdir(parents=True)
    payload = {"out": str(runtime.settings.work_dir / "m.wav"), "mood": "warm", "seed": 1, "tempo_bpm": 60}
    with pytest.raises(DeadlineExceededError, match=r"0\.05 s"):
        await runtime.work("compose", payload | {"duration_ms": 600_000})
    assert (runtime.workers._idle, runtime.workers._busy) == ([], set())


async def test_memory_of_a_worker_is_bounded(fresh, tools):
    runtime = runtime_of(fresh(child_memory_mb=512))
    runtime.settings.work_dir.mkdir(parents=True)
    out = runtime.settings.work_dir / "v.wav"
    big = {"voices": [], "music": str(tools.tone(out, 0.1)), "samples": 2**40, "out": str(out)}
    with pytest.raises(ProviderError, match="MemoryError"):
        await runtime.work("mix_track", big)


def environment_of(pid):
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_child_inherits_no_secret(fresh, monkeypatch):
    monkeypatch.setenv("STUDIO_SECRET_KEY", "hush")
    runtime = runtime_of(fresh())
    runtime.settings.work_dir.mkdir(parents=True)
    await runtime.work(
        "mix_track",
        {"voices": [], "music": None, "samples": 5, "out": str(runtime.settings.work_dir / "v.wav")},
    )
    pid = runtime.workers._idle[0].process.pid
    assert b"hush" not in environment_of(pid)


async def test_video_resumes_after_a_restart_with_the_same_files(fresh, tools, tmp_path):
    image = tools.still(tmp_path / "p.jpg")
    request = VideoRequest(job_id="v", image=image, duration_ms=60_000, width=320, height=180)
    first = fresh()
    started = await LocalVideoGenerator(first).submit(request)
    assert started.state == "running"
    await runtime_of(first).close()
    request_file = tmp_path / "work" / "jobs" / started.provider_job_id / "request.json"
    request_file.write_text(request_file.read_text().replace("60000", "1000"))
    again = LocalVideoGenerator(fresh())
    done = await tools.settled(again, await again.poll(started.provider_job_id))
    assert done.state == "succeeded"
    assert tools.decode(done.files[0].path).frames == 24


SERVER = """
    import asyncio, os, sys
    from pathlib import Path
    from studio_local.runtime import LocalRuntime
    from studio_local.settings import LocalSettings

    async def main():
        folder = Path(sys.argv[1])
        runtime = LocalRuntime(LocalSettings(work_dir=folder))
        bed = {"out": str(folder / "m.wav"), "mood": "warm", "seed": 1, "tempo_bpm": 60, "duration_ms": 3_000_000}
        work = asyncio.ensure_future(runtime.work("compose", bed))
        endless = ["-f", "lavfi", "-i", "testsrc", "-f", "null", "-"]
        film = asyncio.ensure_future(runtime.ffmpeg.run(endless, cwd=folder))
        while len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()) < 2:
            await asyncio.sleep(0.01)
        print("ready", flush=True)
        await asyncio.gather(work, film)

    asyncio.run(main())
"""


def children_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and waits by pidfd")
def test_no_child_outlives_a_server_that_was_killed(tmp_path):
    paths = [str(Path(studio_local.__file__).parents[1]), *sys.path]
    server = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SERVER), str(tmp_path)],
        stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip
    assert server.stdout.readline() == b"ready\n"
    handles = [os.pidfd_open(pid) for pid in children_of(server.pid)]
    assert len(handles) == 2
    server.kill()
    server.wait()
    server.stdout.close()
    for handle in handles:
        assert select.select([handle], [], [], 5)[0], "a child still runs"
        os.close(handle)


async def test_cancelled_voice_can_be_asked_for_again_under_another_id(warm, tools):
    provider = LocalVoiceGenerator(warm)
    text = "word " * 900
    started = await provider.submit(VoiceRequest(job_id="long", text=text, voice="en"))
    if started.state == "running":
        assert await provider.cancel(started.provider_job_id)
    done = await tools.finished(provider, VoiceRequest(job_id="short", text="Hi.", voice="en"))
    assert done.state == "succeeded"


async def test_task_goes_to_the_worker_that_has_loaded_its_libraries(fresh, tmp_path):
    workers = runtime_of(fresh(processes=2)).workers
    track = {"voices": [], "music": None, "samples": 480, "out": str(tmp_path / "raw")}
    bed = {"out": str(tmp_path / "m.wav"), "mood": "warm", "seed": 1, "tempo_bpm": 60, "duration_ms": 1000}
    tasks = {"mix_track": track, "compose": bed}
    await asyncio.gather(*(workers.call(task, given, deadline_s=60) for task, given in tasks.items()))
    for task in ("mix_track", "compose", "compose", "mix_track"):
        await workers.call(task, tasks[task], deadline_s=60)
    assert sorted(map(sorted, (worker.knows for worker in workers._idle))) == [["compose"], ["mix_track"]]
