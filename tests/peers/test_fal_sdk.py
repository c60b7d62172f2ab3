"""fal's own SDK and our plugin, both against the same fake: they send and read the same."""

from __future__ import annotations

import asyncio
import json
import re
from urllib.parse import parse_qs

import pytest

from studio import PluginContext
from studio.testing.kit import HttpClients, Metrics, Services, get_logger
from studio_fal import storage
from studio_fal.client import FalClient
from studio_fal.models import Reader
from studio_fal.settings import FalSettings

pytestmark = pytest.mark.peer
SDK = ["fal-client==1.0.3"]
HOOK = "https://studio.example/hook?job=1&fal_model=flux-dev"
INPUT = {"prompt": "A lighthouse in rain"}
CARRIED = {"authorization", "content-type", "x-fal-queue-priority", "x-fal-request-timeout"}
PART = re.compile(r"/multipart/<id>/\d+$")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}")


async def our_side(fake, key, path, large):
    """Do with the plugin's client what the SDK does."""
    services = Services()
    services.http = HttpClients(Metrics())
    ctx = PluginContext("fal", services, None, get_logger("test"))

    def client_of(**wishes):
        urls = {"queue_url": fake.url, "rest_url": fake.url, "keep_outputs_s": None}
        return FalClient(ctx, FalSettings(api_key=key, **urls, **wishes))

    client = client_of(queue_priority="low", start_timeout_s=60)
    model = client.settings.models["flux-dev"]
    try:
        job = await client.submit("flux-dev", model, INPUT, HOOK)
        states = [(await client.status(job)).status for _ in range(2)]
        result = await client.result(job)
        late = await client.cancel(job)
        other = await client_of().submit("flux-dev", model, INPUT, None)
        stopped = await client.cancel(other)
        await client.status(other)
        failed = await client.result(other)
        address = await client.deliver(path)
        in_parts = await client.deliver(large)
    finally:
        await services.http.close()
    files = Reader(client.settings).files(result.body, model, "image")
    return {
        "states": states, "files": files, "late": late, "stopped": stopped, "failed": failed, "address": address,
        "in_parts": in_parts,
    }  # fmt: skip


def shown(call):
    """Return what a request says, without ids and without the SDK's `logs=False`."""
    query = {name: values for name, values in parse_qs(call.query).items() if name != "logs"}
    headers = {name: value for name, value in call.headers.items() if name in CARRIED}
    is_json = headers.get("content-type") == "application/json"
    body = call.json if is_json else len(call.body)
    if "/initiate" in call.path:
        body = body["content_type"]  # the SDK tells the file's own name
    if call.path.endswith("/complete"):  # the SDK names the parts as they came to an end
        body = sorted(body["parts"], key=lambda part: part["partNumber"])
    path = UUID.sub("<id>", call.path)
    return call.method, re.sub(r"<id>-[^/]*", "<id>", path), query, headers, body


def once(calls):
    """Leave out what only repeats the call before: the SDK asks for the state more often. Parts come in any order."""
    said = [shown(call) for call in calls]
    parts = sorted((call for call in said if PART.search(call[1])), key=lambda call: call[1])
    said = [parts.pop(0) if PART.search(call[1]) else call for call in said]
    return [call for number, call in enumerate(said) if call not in said[max(0, number - 1) : number]]


async def test_plugin_and_sdk_say_the_same(load_fake, oracle, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "WHOLE_BYTES", 2_000_000)
    monkeypatch.setattr(storage, "PART_BYTES", 1_000_000)
    module = load_fake("fal")
    fake = module.Fake(polls=2)
    path = tmp_path / "panel.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 1_000_000)
    large = tmp_path / "large.png"
    large.write_bytes(b"\x89PNG\r\n\x1a\n" + b"y" * 2_500_000)
    async with fake.serving():
        found = json.loads(
            await asyncio.to_thread(oracle, "fal_sdk.py", SDK, fake.url, module.KEY, path, large)
        )
        theirs = once(fake.calls)
        hooks = [made["webhook"] for made in fake.requests.values()]
        fake.calls.clear()
        fake.requests.clear()
        ours = await our_side(fake, module.KEY, path, large)
        said = once(fake.calls)
    assert said == theirs
    assert len(said) == 16
    assert hooks == [made["webhook"] for made in fake.requests.values()] == [HOOK, None]
    assert [state for state, *_ in found["states"]] == ["InProgress", "Completed"]
    assert ours["states"] == ["IN_PROGRESS", "COMPLETED"]
    assert [file.url for file in ours["files"]] == [image["url"] for image in found["result"]["images"]]
    assert found["late"][0] == 400
    assert ours["late"] is False
    assert ours["stopped"] is True
    assert found["cancelled"][1][0] == ours["failed"].status == 499
    assert found["cancelled"][1][2] == ours["failed"].error_type == "client_cancelled"
    assert {url.rpartition("/")[0] for url in (found["uploaded"], ours["address"])} == {
        "https://v3.fal.media/files"
    }
    assert found["in_parts"].startswith(f"{fake.url}/files/fake/")
    assert ours["in_parts"].startswith(f"{fake.url}/files/fake/")
    assert sorted(stored for _, stored in fake.files.values()) == sorted(
        2 * [path.read_bytes(), large.read_bytes()]
    )
