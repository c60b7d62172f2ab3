"""What every provider promises, for each capability that fal has."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from studio import ImageEditRequest, ImageRequest, MusicRequest, VideoRequest, WebhookCall, now_ms
from studio.testing.providers import ProviderCase, ProviderConformance
from studio_fal.plugin import Plugin
from studio_fal.settings import FalSettings

pytestmark = pytest.mark.http
OUTPUT = "https://v3.fal.media/files/fake/out"


class FalCase(ProviderCase):
    """The requests and the endings are all that differs between capabilities."""

    plugin = Plugin
    submit_path = r"^/fal-ai/(?!.*/requests/)"
    poll_path = r"/requests/[^/]+(/status)?$"
    ending: str

    def __init__(self, fakes):
        self.fakes = fakes

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

    def still(self):
        path = self.folder / "still.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
        return path

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

    def request(self, outcome):
        return ImageRequest(job_id="-", prompt="A lighthouse in rain")


class EditCase(FalCase):
    capability, ending = "image_edit", ".png"

    def request(self, outcome):
        return ImageEditRequest(job_id="-", operation="variation", image=self.still(), prompt="At night")


class VideoCase(FalCase):
    capability, ending = "video", ".mp4"

    def request(self, outcome):
        return VideoRequest(job_id="-", image=self.still(), duration_ms=3000, prompt="The lamp turns")


class MusicCase(FalCase):
    capability, ending = "music", ".wav"

    def request(self, outcome):
        return MusicRequest(job_id="-", duration_ms=3000, mood="tense")


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
