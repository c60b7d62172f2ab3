"""What every provider promises: a video, which is a job, and a picture, which comes at once."""

from __future__ import annotations

import pytest

from studio import ImageRequest, VideoRequest
from studio.testing.providers import ProviderCase, ProviderConformance
from studio_jobvendor.api import ClipRequest
from studio_xai.plugin import Plugin
from studio_xai.settings import XaiSettings

pytestmark = pytest.mark.http


class XaiCase(ProviderCase):
    plugin = Plugin

    def __init__(self, fakes):
        self.fakes = fakes

    def vendor(self):
        return self.fakes.FakeXai()

    def without_key(self):
        return XaiSettings()

    def settings(self, vendor):
        return XaiSettings(
            api_key=self.fakes.KEY, base_url=f"{vendor.url}/v1", allow_private=True,
            image_deadline_s=self.deadline_s, video_deadline_s=self.deadline_s,
        )  # fmt: skip


class VideoCase(XaiCase):
    capability = "video"
    submit_path = "/v1/videos/generations$"
    poll_path = "/v1/videos/(?!generations|extensions)"

    def request(self, outcome):
        still = self.folder / "still.png"
        still.write_bytes(b"\x89PNG\r\n\x1a\n")
        return VideoRequest(job_id="j1", image=still, duration_ms=6000)

    def end(self, vendor, provider_job_id, outcome):
        vendor.end(provider_job_id, outcome)


class ExtensionCase(VideoCase):
    submit_path = "/v1/videos/extensions$"

    def request(self, outcome):
        clip = self.folder / "clip.mp4"
        clip.write_bytes(b"clip")
        return ClipRequest(job_id="j1", image=clip, video=clip, duration_ms=4000)


class ImageCase(XaiCase):
    capability = "image"
    submit_path = "/v1/images/generations$"

    def request(self, outcome):
        return ImageRequest(job_id="j1", prompt="A harbour", width=64, height=64)

    def end(self, vendor, provider_job_id, outcome):
        vendor.draws = outcome


class TestVideo(ProviderConformance):
    @pytest.fixture
    def case_of(self, xai_fakes):
        return VideoCase(xai_fakes)


class TestExtension(ProviderConformance):
    @pytest.fixture
    def case_of(self, xai_fakes):
        return ExtensionCase(xai_fakes)


class TestImage(ProviderConformance):
    @pytest.fixture
    def case_of(self, xai_fakes):
        return ImageCase(xai_fakes)
