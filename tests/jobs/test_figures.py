"""The figures of jobs, as an operator's Prometheus reads them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from studio.auth import Actor
from studio.jobs.contract import TERMINAL
from studio.providers.contract import ProviderSpec
from studio.providers.services import WebhookNews
from studio.testing.client import serving


@pytest.mark.memory
async def test_a_job_is_counted_once_with_its_kind_its_state_and_its_time(world, say):
    ended = []
    world.jobs._store.observe = lambda *told: ended.append(told)
    world.vendor.plan = [say.running()]
    job_id = await world.submit()
    world.clock.ms += 2_500
    await world.play()
    job = await world.job(job_id)
    seconds = (job["finished_at"] - job["created_at"]) / 1000
    assert ended == [("image.generate", "succeeded", seconds)]
    assert seconds >= 2.5


@pytest.mark.memory
async def test_a_late_result_does_not_count_the_job_again(make_world, say):
    ended = []
    world = make_world(public_url="https://studio.example")
    world.jobs._store.observe = lambda *told: ended.append(told[:2])
    job_id = await world.submit()
    vendors = (await world.step(job_id))["provider_job_id"]
    await world.jobs.cancel(job_id)
    await world.step(job_id)
    news = WebhookNews(delivery_id="d", provider_job_id=vendors, generation=say.done(cost_uusd=11))
    token = (await world.job(job_id))["callback_token"]
    assert await world.jobs.hear("fake", news, token) == "heard"
    await world.play()
    assert world.accepted == [(job_id, True)]
    assert ended == [("image.generate", "cancelled")]


@pytest.mark.http
async def test_the_figures_page_counts_jobs_and_what_was_lost(tmp_path, world):
    async with serving(tmp_path) as client:
        services = client.studio.services
        services.providers.register("vendor", None, [ProviderSpec("fake", "image", "fake_vendor:Vendor")])
        services.jobs.register([replace(world.kind(), name="test.draw")])
        order = replace(world.order(), kind="test.draw", provider="fake")
        job = await services.jobs.submit(Actor("ada"), order)
        async with asyncio.timeout(20):
            while (await services.database["jobs"].get(job["_id"]))["state"] not in TERMINAL:
                await asyncio.sleep(0.02)
        text = client.studio.metrics.render().decode()
    assert 'studio_jobs_total{kind="test.draw",state="succeeded"} 1.0' in text
    assert {"studio_activities_dropped 0.0", "studio_messages_dropped 0.0"} <= set(text.splitlines())
