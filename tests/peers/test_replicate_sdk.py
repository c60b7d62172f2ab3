"""Replicate's own SDK and our plugin, both against the same fake: they send and read the same."""

from __future__ import annotations

import asyncio
import json

import pytest

from studio import PluginContext
from studio.testing.kit import HttpClients, Metrics, Services, get_logger
from studio_replicate.client import ReplicateClient
from studio_replicate.models import Reader
from studio_replicate.settings import ReplicateModel, ReplicateSettings

pytestmark = pytest.mark.peer
SDK = ["replicate==1.0.7"]
HOOK = "https://studio.example/hook?token=x"
OURS = {"cancel-after"}
"""Headers that the SDK cannot send and we do."""
CARRIED = {"authorization", "content-type", "prefer", "cancel-after"}


def model(where):
    return ReplicateModel(capability="image", model=where, fields={"prompt": "prompt"})


async def our_side(fake, token, path):
    """Do with the plugin's client what the SDK does."""
    services = Services()
    services.http = HttpClients(Metrics())
    settings = ReplicateSettings(api_token=token, base_url=fake.url)
    client = ReplicateClient(PluginContext("replicate", services, settings, get_logger("test")), settings)
    given = {"prompt": "A lighthouse in rain"}
    try:
        official = await client.create(model("black-forest-labs/flux-schnell"), given, HOOK)
        by_version = await client.create(model("a" * 64), given, HOOK)
        await client.create(model("deployments/our/fast"), given, None)
        await client.get(official.id)
        done = await client.get(official.id)
        await client.cancel(by_version.id)
        address = await client.deliver(path)
        await client._fetch_secret()
    finally:
        await services.http.close()
    return Reader(settings, "image").generation(done), address


def shown(fake, call):
    """Return what a request says, without ids and boundaries."""
    path = call.path
    for number, known in enumerate(fake.predictions):
        path = path.replace(known, f"<{number % 3}>")
    headers = {name: value for name, value in call.headers.items() if name in CARRIED - OURS}
    kind = headers.get("content-type", "")
    multipart = kind.startswith("multipart/form-data")
    headers["content-type"] = "multipart/form-data" if multipart else kind
    if call.path.endswith("/cancel"):
        headers.pop("content-type")
    return (
        call.method,
        path,
        headers,
        json.loads(call.body) if kind == "application/json" and call.body else None,
    )


async def test_plugin_and_sdk_say_the_same(load_fake, oracle, tmp_path):
    module = load_fake("replicate")
    fake = module.Fake(polls=2)
    path = tmp_path / "panel.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 300_000)
    async with fake.serving():
        made = fake.start({"input": {"prompt": "x"}}, {"owner": "a", "name": "b"})
        fake.finish(made["id"])
        good, body = fake.webhook(made)
        other, _ = fake.webhook(made, secret="whsec_" + "A" * 43 + "=")
        old, _ = fake.webhook(made, at=1_700_000_000)
        several = good | {"webhook-signature": f"{other['webhook-signature']} {good['webhook-signature']}"}
        calls = json.dumps([[headers, body.decode()] for headers in (good, other, old, several)])
        fake.predictions.clear()
        found = json.loads(
            await asyncio.to_thread(oracle, "replicate_sdk.py", SDK, fake.url, module.TOKEN, path, calls)
        )
        theirs = [shown(fake, call) for call in fake.calls]
        fake.calls.clear()
        generation, address = await our_side(fake, module.TOKEN, path)
        ours = [shown(fake, call) for call in fake.calls]
        stored = set(fake.files.values())
    assert ours == theirs
    assert len(ours) == 8
    assert found["created"] == ["starting"] * 3
    assert found["done"] == [
        generation.state,
        [file.url for file in generation.files],
        {"predict_time": 1.25, "total_time": 1.75},
    ]
    assert found["stopped"] == "canceled"
    assert found["verdicts"] == [True, False, False, True]
    assert found["secret"]
    assert {url.rpartition("/")[0] for url in (address, found["uploaded"])} == {f"{fake.url}/v1/files"}
    assert stored == {path.read_bytes()}
