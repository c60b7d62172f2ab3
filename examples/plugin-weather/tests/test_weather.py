"""Through the whole platform in memory: the fixtures come from `studio.testing`, by pytest's entry point."""

from __future__ import annotations

import wave

import pytest

from studio import MusicRequest, ProviderRejectedError

PROJECTS = "/api/workbench/projects"


@pytest.fixture
async def project(client):
    made = await client.post(PROJECTS, {"name": "The lighthouse"})
    return made.json["id"]


async def test_the_weather_is_clear_until_somebody_changes_it(client, project):
    answer = await client.get(f"/api/weather/{project}")
    assert (answer.status, answer.json) == (200, {"kind": "clear", "setBy": None})
    answer = await client.put(f"/api/weather/{project}", {"kind": "rain"})
    assert (answer.status, answer.json) == (200, {"kind": "rain", "setBy": client.user["id"]})
    assert (await client.get(f"/api/weather/{project}")).json["kind"] == "rain"


async def test_a_change_is_logged_once_however_often_it_is_repeated(client, project):
    for _ in range(3):
        await client.put(f"/api/weather/{project}", {"kind": "storm"})
    await client.studio.services.activity.flush()
    repository = client.studio.services.database["projectActivities"]
    assert await repository.count({"project_id": project, "action": "weather.changed"}) == 1


async def test_the_weather_of_others_is_hidden(server, project):
    stranger = await server.sign_in("stranger@example.org")
    assert (await stranger.get(f"/api/weather/{project}")).status == 404
    assert (await server.get(f"/api/weather/{project}")).status == 401


async def test_weather_that_does_not_exist_is_refused(client, project):
    assert (await client.put(f"/api/weather/{project}", {"kind": "snow"})).status == 422


async def test_the_sound_of_rain_lasts_as_long_as_asked_and_is_found_again(client):
    provider = client.studio.services.providers.get("music", "weather", "rain")
    done = await provider.submit(MusicRequest(job_id="j1", model="rain", duration_ms=6500, seed=7))
    with wave.open(str(done.files[0].path)) as sound:
        assert sound.getnframes() / sound.getframerate() == pytest.approx(6.5, abs=0.001)
    assert (await provider.poll("j1")).files == done.files
    done.files[0].path.unlink()
    with pytest.raises(ProviderRejectedError):
        await provider.poll("j1")
