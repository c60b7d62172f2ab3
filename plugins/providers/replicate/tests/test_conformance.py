"""What every provider promises, for each capability that Replicate has."""

from __future__ import annotations

import base64

import pytest

from studio import WebhookCall, now_ms
from studio.testing.conformance_media import MediaCase
from studio.testing.providers import ProviderConformance
from studio_replicate.plugin import Plugin
from studio_replicate.settings import ReplicateSettings

pytestmark = pytest.mark.http
OTHER = "whsec_" + base64.b64encode(b"somebody else's secret, 32 bytes").decode()
OUTPUT = "https://replicate.delivery/xezq/fake/out"


class ReplicateCase(MediaCase):
    """Only the capability and the ending differ."""

    plugin = Plugin
    submit_path = r"/predictions$"
    poll_path = r"/v1/predictions/[^/]+$"

    def vendor(self):
        vendor = self.fakes.Fake(polls=1_000_000)  # only `end` ends a prediction
        vendor.output = f"{OUTPUT}{self.ending}"
        return vendor

    def settings(self, vendor):
        return ReplicateSettings(api_token=self.fakes.TOKEN, base_url=vendor.url, deadline_s=self.deadline_s)

    def without_key(self):
        return ReplicateSettings()

    def end(self, vendor, provider_job_id, outcome):
        if outcome == "running":
            return
        made = vendor.predictions[provider_job_id]
        vendor.ending = "succeeded" if outcome in ("succeeded", "unusable") else "failed"
        vendor.error = {"refused": "NSFW content detected."}.get(outcome, "Something broke.")
        vendor.finish(made["id"])
        if outcome == "unusable":
            vendor.remove_data(made["id"])

    def webhook(self, vendor, provider_job_id, outcome, *, forged=False, age_s=0.0):
        made = dict(vendor.predictions[provider_job_id])
        if outcome == "running":
            made |= {"status": "processing", "output": None, "completed_at": None}
        headers, body = vendor.webhook(
            made, f"msg_{outcome}", at=now_ms() / 1000 - age_s, secret=OTHER if forged else None
        )
        return WebhookCall(path="/api/webhooks/replicate", headers=headers, body=body, received_at=now_ms())


class ImageCase(ReplicateCase):
    capability, ending = "image", ".png"


class EditCase(ReplicateCase):
    capability, ending = "image_edit", ".png"


class VideoCase(ReplicateCase):
    capability, ending = "video", ".mp4"


class MusicCase(ReplicateCase):
    capability, ending = "music", ".mp3"


class Suite(ProviderConformance):
    """The suite with the fake of this repository."""

    kind: type[ReplicateCase]
    __test__ = False

    @pytest.fixture
    def case_of(self, load_fake):
        return self.kind(load_fake("replicate"))


class TestReplicateImages(Suite):
    kind, __test__ = ImageCase, True


class TestReplicateEdits(Suite):
    kind, __test__ = EditCase, True


class TestReplicateVideos(Suite):
    kind, __test__ = VideoCase, True


class TestReplicateMusic(Suite):
    kind, __test__ = MusicCase, True
