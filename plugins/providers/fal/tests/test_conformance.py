"""What every provider promises, for each capability that fal has."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from studio import WebhookCall, now_ms
from studio.testing.conformance_media import MediaCase
from studio.testing.providers import ProviderConformance
from studio_fal.plugin import Plugin
from studio_fal.settings import FalSettings

pytestmark = pytest.mark.http
OUTPUT = "https://v3.fal.media/files/fake/out"


class FalCase(MediaCase):
    """Only the capability and the ending differ."""

    plugin = Plugin
    submit_path = r"^/fal-ai/(?!.*/requests/)"
    poll_path = r"/requests/[^/]+(/status)?$"

    def vendor(self):
        vendor = self.fakes.Fake(polls=1_000_000)  # only `end` ends a request
        vendor.output = {"file": {"url": f"{OUTPUT}{self.ending}"}}
        return vendor

    def settings(self, vendor):
        return FalSettings(
            api_key=self.fakes.KEY, queue_url=vendor.url, rest_url=vendor.url, deadline_s=self.deadline_s
        )

    def without_key(self):
        return FalSettings()

    def end(self, vendor, provider_job_id, outcome):
        if outcome == "running":
            return
        made = vendor.requests[provider_job_id.rpartition("|")[2]]
        made["status"] = "COMPLETED"
        policy = {"loc": ["body", "prompt"], "msg": "flagged", "type": "content_policy_violation"}
        endings = {
            "failed": (500, {"detail": "Broke", "error_type": "runner_server_error"}, {}),
            "refused": (422, {"detail": [policy]}, {}),
            "unusable": (200, {"images": []}, {}),
        }
        made["error"] = endings.get(outcome)

    def webhook(self, vendor, provider_job_id, outcome, *, forged=False, age_s=0.0):
        if outcome == "running":
            return None
        request_id = provider_job_id.rpartition("|")[2]
        private = self.fakes.key_of("a forger") if forged else None
        headers, body = vendor.webhook(vendor.news(request_id), at=now_ms() / 1000 - age_s, private=private)
        query = urlsplit(vendor.requests[request_id]["webhook"]).query
        return WebhookCall(
            path="/api/webhooks/fal", query=query, headers=headers, body=body, received_at=now_ms()
        )


class ImageCase(FalCase):
    capability, ending = "image", ".png"


class EditCase(FalCase):
    capability, ending = "image_edit", ".png"


class VideoCase(FalCase):
    capability, ending = "video", ".mp4"


class MusicCase(FalCase):
    capability, ending = "music", ".wav"


class Suite(ProviderConformance):
    """The suite with the fake of this repository."""

    kind: type[FalCase]
    __test__ = False

    @pytest.fixture
    def case_of(self, load_fake):
        return self.kind(load_fake("fal"))


class TestFalImages(Suite):
    kind, __test__ = ImageCase, True


class TestFalEdits(Suite):
    kind, __test__ = EditCase, True


class TestFalVideos(Suite):
    kind, __test__ = VideoCase, True


class TestFalMusic(Suite):
    kind, __test__ = MusicCase, True
