"""What every provider promises, for the videos of Vidu."""

from __future__ import annotations

from typing import ClassVar

import pytest

from studio import VideoRequest, WebhookCall, now_ms
from studio.testing.providers import ProviderCase, ProviderConformance
from studio_vidu.plugin import Plugin
from studio_vidu.settings import ViduSettings

pytestmark = pytest.mark.http
PATH = "/api/webhooks/vidu"
UNSIGNED = "the vendor does not sign the body: a callback is a hint, and the vendor is asked"


class ViduVideos(ProviderCase):
    plugin, capability = Plugin, "video"
    submit_path = r"/img2video$"
    poll_path = r"/creations$"
    not_applicable: ClassVar = {
        f"webhook_forged[{how}]": UNSIGNED for how in ("flipped bit", "truncated", "re-encoded")
    }

    def __init__(self, fakes):
        self.fakes = fakes

    def vendor(self):
        return self.fakes.Fake(polls=1_000_000)  # only `end` ends a task

    def settings(self, vendor):
        return ViduSettings(api_key=self.fakes.KEY, base_url=vendor.url, deadline_s=self.deadline_s)

    def without_key(self):
        return ViduSettings()

    def request(self, outcome):
        path = self.folder / "still.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
        return VideoRequest(job_id="-", image=path, duration_ms=3000, prompt="The lamp turns")

    def end(self, vendor, provider_job_id, outcome):
        task = vendor.tasks[provider_job_id]
        if outcome in ("succeeded", "unusable"):
            task["state"] = "success"
            vendor.creations = vendor.creations if outcome == "succeeded" else []
        elif outcome != "running":
            word = {"failed": "InternalServiceFailure", "refused": "AuditSubmitIllegal"}[outcome]
            task |= {"state": "failed", "err_code": word}

    def webhook(self, vendor, provider_job_id, outcome, *, forged=False, age_s=0.0):
        body = vendor.shown(provider_job_id)
        if outcome == "running":
            body |= {"state": "processing", "creations": []}
        headers, raw = vendor.webhook(
            body,
            PATH,
            "job=j",
            f"nonce-{outcome}",
            now_ms() / 1000 - age_s,
            "another key" if forged else None,
        )
        headers = {name.lower(): value for name, value in headers.items()}
        return WebhookCall(path=PATH, query="job=j", headers=headers, body=raw, received_at=now_ms())


class TestViduVideos(ProviderConformance):
    @pytest.fixture
    def case_of(self, load_fake):
        return ViduVideos(load_fake("vidu"))
