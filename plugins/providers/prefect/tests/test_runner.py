"""Runs: once per job, states in any order, a cancel that says no and means yes."""

from __future__ import annotations

import base64
import json
import uuid
from pathlib import Path

import pytest
from pydantic import ValidationError

from studio import PipelineRequest, ProviderError, ProviderRejectedError, ProviderUnavailableError
from studio_prefect.models import FlowRun, generation_of
from studio_prefect.plugin import Plugin
from studio_prefect.settings import PrefectSettings

pytestmark = pytest.mark.http
RUN = "0b6d2c1e-6f0f-4f43-9e0a-3a1f5f4d7c21"
RUNS = json.loads((Path(__file__).parent / "payloads" / "runs.json").read_text())


def request(job_id="j1", **changed):
    return PipelineRequest(
        **{"job_id": job_id, "name": "film/default", "parameters": {"story": "s1"}} | changed
    )


@pytest.mark.parametrize("case", RUNS, ids=lambda c: (c["state"] or {"name": "none"})["name"])
def test_every_state_has_one_meaning(case):
    run = FlowRun(id=str(uuid.uuid4()), name="quick-otter", state=case["state"])
    found = generation_of(run, None, 3.0)
    assert found.state == case["is"]
    shown = found.error and [found.error.code, found.error.retryable, found.error.message]
    assert shown == case["error"]
    assert (found.retry_after_s == 3.0) == (case["is"] == "running")


def test_a_state_that_nobody_knows_is_no_success():
    state = {"type": "FINISHED", "name": "Finished", "timestamp": "2026-11-23T10:00:00Z"}
    with pytest.raises(ProviderError):
        generation_of(FlowRun(id="x", state=state), None, 3.0)


async def test_a_run_is_created_as_prefect_wants_it(runner_at, prefect):
    started = await runner_at(prefect.url).submit(request())
    assert (started.state, started.data["state"]) == ("running", "SCHEDULED")
    assert started.data["url"] == f"{prefect.url}/runs/flow-run/{started.provider_job_id}"
    look, create = prefect.calls
    assert (look.method, look.path) == ("GET", "/api/deployments/name/film/default")
    assert create.path == f"/api/deployments/{prefect.deployments['film/default']['id']}/create_flow_run"
    assert create.json == {
        "parameters": {"story": "s1"},
        "tags": ["studio"],
        "idempotency_key": "j1",
        "state": {"type": "SCHEDULED"},
    }
    assert "authorization" not in create.headers


async def test_the_same_job_is_one_run_however_often_it_is_asked(runner_at, prefect):
    runner = runner_at(prefect.url)
    first = await runner.submit(request())
    assert (await runner.submit(request())).provider_job_id == first.provider_job_id
    assert (await runner.submit(request("j2"))).provider_job_id != first.provider_job_id
    assert len(prefect.runs) == 2


@pytest.mark.parametrize("mode", ["lost", "cut", "500", "429"])
async def test_a_lost_answer_is_asked_for_again_and_starts_one_run(runner_at, prefect, mode):
    prefect.retry_after_s = 0
    prefect.fail(mode, "create_flow_run")
    started = await runner_at(prefect.url).submit(request())
    assert list(prefect.runs) == [started.provider_job_id]
    assert len(prefect.asked("POST", "create_flow_run")) == 2


async def test_a_run_is_followed_to_its_end_and_beyond(runner_at, prefect):
    runner = runner_at(prefect.url)
    run_id = (await runner.submit(request())).provider_job_id
    seen = []
    for state in ("PENDING", "RUNNING", "COMPLETED", "RUNNING", "FAILED", "SCHEDULED", "CRASHED"):
        prefect.move(run_id, state)
        seen.append((await runner.poll(run_id)).state)
    assert seen == ["running", "running", "succeeded", "running", "failed", "running", "failed"]


async def test_an_answer_that_was_overtaken_tells_nothing_new(runner_at, prefect, prefect_fakes):
    runner = runner_at(prefect.url)
    run_id = (await runner.submit(request())).provider_job_id
    prefect.move(run_id, "COMPLETED")
    assert (await runner.poll(run_id)).state == "succeeded"
    prefect.move(run_id, "RUNNING", at=prefect_fakes.ago(60))
    assert (await runner.poll(run_id)).state == "succeeded"
    prefect.move(run_id, "RUNNING")
    assert (await runner.poll(run_id)).state == "running"


async def test_a_pipeline_has_its_deployment_by_name_and_odd_names_stay_one_segment(runner_at, prefect):
    prefect.deploy("a b?/c#d")
    runner = runner_at(prefect.url, deployments={"story-to-film": "film/default", "odd": "a b?/c#d"})
    await runner.submit(request(name="story-to-film"))
    await runner.submit(request("j2", name="odd", parameters={}))
    assert prefect.calls[2].path == "/api/deployments/name/a%20b%3F/c%23d"


@pytest.mark.parametrize(
    "name", ["film", "film/", "/default", "a/b/c", "", "film/../../admin", "../admin", "film/.."]
)
async def test_a_pipeline_without_a_deployment_is_refused_before_anything_is_sent(runner_at, prefect, name):
    with pytest.raises(ProviderRejectedError) as caught:
        await runner_at(prefect.url).submit(request(name=name))
    assert (caught.value.code, prefect.calls) == ("unknown_pipeline", [])


async def test_a_deployment_that_is_not_there_and_parameters_that_are_wrong_end_the_job(runner_at, prefect):
    runner = runner_at(prefect.url)
    with pytest.raises(ProviderRejectedError, match="Deployment not found") as caught:
        await runner.submit(request(name="film/other"))
    assert (caught.value.code, caught.value.extra["input"]) == ("unknown_pipeline", "name")
    with pytest.raises(ProviderRejectedError, match="'story' is a required property") as caught:
        await runner.submit(request(parameters={}))
    assert (caught.value.code, caught.value.extra["input"]) == ("pipeline_parameters", "parameters")


async def test_a_run_that_never_started_is_cancelled_by_a_reject(runner_at, prefect):
    runner = runner_at(prefect.url)
    run_id = (await runner.submit(request())).provider_job_id
    assert await runner.cancel(run_id) is True
    assert (await runner.poll(run_id)).state == "cancelled"
    assert await runner.cancel(run_id) is True, "it is cancelled: asking again changes nothing"
    body = prefect.asked("POST", "set_state")[0].json
    assert body == {"state": {"type": "CANCELLING", "name": "Cancelling"}, "force": False}


async def test_a_running_one_is_asked_to_stop_and_a_finished_one_cannot(runner_at, prefect):
    runner = runner_at(prefect.url)
    run_id = (await runner.submit(request())).provider_job_id
    prefect.move(run_id, "RUNNING")
    assert await runner.cancel(run_id) is True
    assert (await runner.poll(run_id)).state == "running"
    prefect.move(run_id, "COMPLETED")
    assert await runner.cancel(run_id) is False


@pytest.mark.parametrize("run_id", ["", "1", "../admin", RUN.upper(), f"{RUN}/x"])
async def test_an_id_that_is_none_of_prefects_is_refused_before_anything_is_sent(runner_at, prefect, run_id):
    runner = runner_at(prefect.url)
    for ask in (runner.poll, runner.cancel):
        with pytest.raises(ProviderRejectedError):
            await ask(run_id)
    assert prefect.calls == []


async def test_a_run_that_is_not_there_is_refused(runner_at, prefect):
    with pytest.raises(ProviderRejectedError, match="Flow run not found"):
        await runner_at(prefect.url).poll(str(uuid.uuid4()))


@pytest.mark.parametrize(
    ("named", "header"),
    [
        ({"api_key": "pnu_1"}, "Bearer pnu_1"),
        ({"api_key": "pnu_1", "auth_string": "ann:pass"}, "Bearer pnu_1"),
        ({"auth_string": "ann:pass"}, f"Basic {base64.b64encode(b'ann:pass').decode()}"),
    ],
)
async def test_each_way_of_signing_in(runner_at, prefect, named, header):
    prefect.authorization = header
    assert (await runner_at(prefect.url, **named).submit(request())).state == "running"
    with pytest.raises(ProviderUnavailableError) as caught:
        await runner_at(prefect.url).submit(request())
    assert caught.value.code == "provider_key_refused"


@pytest.mark.parametrize("mode", ["malformed", "wrong_type", "huge", "redirect"])
async def test_an_answer_of_another_kind_is_an_error(runner_at, prefect, mode):
    runner = runner_at(prefect.url)
    run_id = (await runner.submit(request())).provider_job_id
    prefect.fail(mode, "flow_runs", times=9)
    with pytest.raises(ProviderError):
        await runner.poll(run_id)
    with pytest.raises(ProviderError):
        await runner.cancel(run_id)


def test_settings_say_what_is_missing_and_refuse_what_cannot_work():
    class Context:
        def __init__(self, **values):
            self.values = PrefectSettings(**values)

        def settings(self, model):
            return self.values

    [spec] = Plugin().register_providers(Context())
    assert (spec.missing, spec.webhooks, spec.idempotent_submit) == (
        "set STUDIO_PREFECT__API_URL",
        False,
        True,
    )
    [spec] = Plugin().register_providers(Context(api_url="http://p:4200/api", webhook_secret="s" * 16))
    assert (spec.missing, spec.webhooks) == (None, True)
    for bad in ({"api_url": "p:4200"}, {"webhook_secret": "short"}, {"webhook_header": "x-studio"}):
        with pytest.raises(ValidationError):
            PrefectSettings(**bad)
