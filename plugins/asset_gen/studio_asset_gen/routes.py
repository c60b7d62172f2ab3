"""Routes of generations, jobs, takes and voices."""

from __future__ import annotations

from functools import partial

from studio import SIGNED_IN, Route, project_in_body, project_in_query
from studio_asset_gen import handlers as h
from studio_asset_gen import models as m
from studio_asset_gen import voice_models as v

BASE = "/api/assetGen"
READ, GENERATE, WRITE, OPERATE = "asset:read", "asset:generate", "asset:write", "platform:operate"
JOB, ASSET, SETTINGS = f"{BASE}/jobs/{{job_id}}", f"{BASE}/assets/{{asset_id}}", f"{BASE}/voice-settings"
_ordered = partial(Route, "POST", status=202, also=(402, 422))
"""What orders a job is refused beyond a budget, and when nobody makes such a thing."""
_file = partial(Route, "GET", load=h.load_asset, also=(206, 304, 416), deadline_s=0)
"""aiohttp answers to ranges and to If-None-Match."""

GENERATIONS = [
    Route("POST", f"{BASE}/estimate", h.estimate, READ, returns=m.EstimateAnswer, load=h.load_estimated),
    _ordered(f"{BASE}/generate", h.generate, GENERATE, returns=m.GenerateStarted, load=h.load_target),
    _ordered(f"{BASE}/batch", h.batch, GENERATE, returns=m.BatchStarted, load=h.load_story),
    Route("GET", f"{BASE}/stale", h.list_stale, READ, returns=m.StaleAnswer, load=h.load_story),
    Route("GET", f"{BASE}/models", h.list_models, SIGNED_IN, returns=m.ProviderList),
]
JOBS = [
    Route("GET", f"{BASE}/jobs", h.list_jobs, READ, returns=m.JobPublic, load=project_in_query),
    Route("GET", JOB, h.get_job, READ, returns=m.JobPublic, load=h.load_job),
    Route("POST", f"{JOB}/cancel", h.cancel_job, GENERATE, returns=m.JobPublic, load=h.load_job),
    _ordered(f"{JOB}/retry", h.retry_job, GENERATE, returns=m.JobPublic, load=h.load_job),
    Route(
        "POST",
        f"{JOB}/release",
        h.release_job,
        GENERATE,
        returns=m.Released,
        also=(422,),
        load=h.load_job,
        deadline_s=60,
    ),
    Route("POST", f"{BASE}/jobs/cancel", h.cancel_jobs, GENERATE, returns=m.Cancelled, load=project_in_body),
    Route("GET", f"{BASE}/queue", h.get_queue, SIGNED_IN, returns=m.QueueState),
    Route("POST", f"{BASE}/queue/pause", h.pause_queue, OPERATE, returns=m.QueueState),
    Route("POST", f"{BASE}/queue/resume", h.resume_queue, OPERATE, returns=m.QueueState),
]
VOICES = [
    Route("GET", f"{BASE}/voices", h.list_voices, SIGNED_IN, returns=v.VoiceList),
    Route("GET", SETTINGS, h.list_voice_settings, READ, returns=v.VoiceSettingList, load=h.load_story),
    Route("PUT", SETTINGS, h.update_voice_setting, WRITE, returns=v.VoiceSettingPublic, load=h.load_story),
    _ordered(
        f"{SETTINGS}/{{setting_id}}/preview",
        h.preview_voice,
        GENERATE,
        returns=m.GenerateStarted,
        load=h.load_setting,
    ),
]
TAKES = [
    Route("GET", f"{BASE}/assets", h.list_assets, READ, returns=m.AssetPublic, load=project_in_query),
    Route("GET", ASSET, h.get_asset, READ, returns=m.AssetPublic, load=h.load_asset),
    Route("PATCH", ASSET, h.update_asset, WRITE, returns=m.AssetPublic, load=h.load_asset),
    Route("POST", f"{ASSET}/select", h.select_asset, WRITE, returns=m.AssetPublic, load=h.load_take),
    Route(
        "POST",
        f"{ASSET}/score",
        h.score_asset,
        GENERATE,
        returns=m.AssetPublic,
        load=h.load_asset,
        also=(422,),
    ),
    _file(f"{ASSET}/file", h.get_asset_file, READ, produces="*/*"),
    _file(f"{ASSET}/thumbnail", h.get_asset_thumbnail, READ, produces="image/*"),
]
ROUTES = [*GENERATIONS, *JOBS, *VOICES, *TAKES]
