"""Our runner before a real Prefect server, with a flow that really runs: submit, poll, cancel, once per job.

The server and the flow live in an environment of their own. Prefect 3.8.8 does not start with a newer FastAPI.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import structlog

from studio import PipelineRequest, PluginContext, ProviderRejectedError
from studio.testing.kit import HttpClients, Metrics, Services

pytestmark = pytest.mark.peer
HERE = Path(__file__).parent
PACKAGES = ("prefect==3.8.8", "fastapi>=0.139,<0.151")
INSTALL_S, READY_S, RUN_S = 240, 120, 90


@pytest.fixture(scope="module")
def prefect_python(tmp_path_factory):
    """Return the Python of an environment that has Prefect."""
    folder, uv = tmp_path_factory.mktemp("prefect"), Path(sys.executable).with_name("uv")
    made = [uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"]
    subprocess.run(made, check=True, timeout=INSTALL_S)
    python = folder / "venv" / "bin" / "python"
    start = time.monotonic()
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", python, *PACKAGES], check=True, timeout=INSTALL_S
    )
    print(f"Prefect was installed in {time.monotonic() - start:.1f} s")
    return python


@contextmanager
def child(command, folder, **environ):
    with (folder / f"{Path(command[-1]).stem}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | environ,
            start_new_session=True,
            cwd=folder,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


@pytest.fixture(scope="module")
def server(prefect_python, tmp_path_factory):
    """Yield the API's address of a server whose runner serves `prefect_flow.py`."""
    folder = tmp_path_factory.mktemp("prefect_home")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    environ = {
        "PREFECT_HOME": str(folder),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_API_URL": url,
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "PREFECT_LOGGING_LEVEL": "WARNING",
    }
    serve = [
        prefect_python,
        "-m",
        "prefect",
        "server",
        "start",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--no-ui",
    ]
    with child(serve, folder, **environ) as process:
        start = time.monotonic()
        wait_for(lambda: httpx.get(f"{url}/health").json() is True, process, folder)
        print(f"Prefect was ready after {time.monotonic() - start:.1f} s")
        with child([prefect_python, HERE / "prefect_flow.py"], folder, **environ) as runner:
            name = f"{url}/deployments/name/studio-film/peer"
            wait_for(lambda: httpx.get(name).status_code == 200, runner, folder)
            yield url


def wait_for(done, process, folder):
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        try:
            if done():
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None:
            break
        time.sleep(0.5)
    logs = [path.read_text(errors="replace")[-2000:] for path in folder.glob("*.log")]
    pytest.fail(f"it did not come up: {logs}", pytrace=False)


@pytest.fixture
async def runner(server):
    from studio_prefect.client import PrefectPipelineRunner
    from studio_prefect.settings import PrefectSettings

    services = Services()
    services.metrics = Metrics()
    services.http = HttpClients(services.metrics)
    named = PrefectSettings(
        api_url=server, deployments={"film": "studio-film/peer", "idle": "studio-idle/peer"}
    )
    yield PrefectPipelineRunner(PluginContext("prefect", services, named, structlog.get_logger()))
    await services.http.close()


async def ended(runner, run_id):
    async with asyncio.timeout(RUN_S):
        while (found := await runner.poll(run_id)).state == "running":
            await asyncio.sleep(0.5)
    return found


async def until_it_runs(runner, run_id):
    async with asyncio.timeout(RUN_S):
        while (await runner.poll(run_id)).data["state"] != "RUNNING":
            await asyncio.sleep(0.3)


def asking(**parameters):
    return PipelineRequest(job_id=str(uuid.uuid4()), name="film", parameters=parameters)


async def test_a_run_goes_from_submit_to_its_end_and_the_same_job_is_the_same_run(runner):
    request = asking(story="the last reel")
    started = await runner.submit(request)
    assert started.state == "running"
    assert (await runner.submit(request)).provider_job_id == started.provider_job_id
    done = await ended(runner, started.provider_job_id)
    assert (done.state, done.data["state"]) == ("succeeded", "COMPLETED")
    assert (await runner.submit(request)).state == "succeeded", "a repeated submit tells how it stands"
    assert await runner.cancel(started.provider_job_id) is False


async def test_a_flow_that_raises_fails_and_says_why(runner):
    done = await ended(runner, (await runner.submit(asking(story="x", fail=True))).provider_job_id)
    assert (done.state, done.error.code, done.error.retryable) == ("failed", "pipeline_failed", False)
    assert "no panels for x" in done.error.message


async def test_a_running_flow_is_stopped(runner):
    run_id = (await runner.submit(asking(story="x", seconds=80))).provider_job_id
    await until_it_runs(runner, run_id)
    assert await runner.cancel(run_id) is True
    assert (await ended(runner, run_id)).state == "cancelled"


@pytest.fixture
async def idle(server):
    """Make a deployment that nobody works for."""
    async with httpx.AsyncClient(base_url=server) as http:
        flow = (await http.post("/flows/", json={"name": "studio-idle"})).json()["id"]
        made = await http.post("/deployments/", json={"name": "peer", "flow_id": flow})
        assert made.status_code in (200, 201), made.text


async def test_a_run_that_never_starts_is_cancelled_at_once(runner, idle):
    started = await runner.submit(asking(story="x").model_copy(update={"name": "idle"}))
    assert await runner.cancel(started.provider_job_id) is True
    assert (await runner.poll(started.provider_job_id)).state == "cancelled"


async def test_a_finished_run_that_is_started_again_is_followed(runner, idle, server):
    run_id = (await runner.submit(asking(story="x").model_copy(update={"name": "idle"}))).provider_job_id
    seen = []
    async with httpx.AsyncClient(base_url=server) as http:
        for state in ("RUNNING", "COMPLETED", "RUNNING", "CRASHED"):
            body = {"state": {"type": state, "message": "by hand"}, "force": True}
            assert (await http.post(f"/flow_runs/{run_id}/set_state", json=body)).status_code in (200, 201)
            seen.append((await runner.poll(run_id)).state)
    assert seen == ["running", "succeeded", "running", "failed"]


async def test_wrong_parameters_and_names_are_refused(runner):
    with pytest.raises(ProviderRejectedError) as caught:
        await runner.submit(asking())
    assert (caught.value.code, caught.value.extra["input"]) == ("pipeline_parameters", "parameters")
    assert "story" in caught.value.detail
    with pytest.raises(ProviderRejectedError) as caught:
        await runner.submit(asking(story="x").model_copy(update={"name": "no/such"}))
    assert caught.value.code == "unknown_pipeline"
    with pytest.raises(ProviderRejectedError):
        await runner.poll(str(uuid.uuid4()))
