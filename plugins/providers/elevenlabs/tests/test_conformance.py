"""What every provider promises: a line and a bed, which come at once."""

from __future__ import annotations

import pytest

from studio import MusicRequest, VoiceRequest
from studio.testing.providers import ProviderCase, ProviderConformance
from studio_elevenlabs.plugin import Plugin
from studio_elevenlabs.settings import ElevenLabsSettings

pytestmark = pytest.mark.http


class VoiceCase(ProviderCase):
    """Without a webhook secret: no call of the vendor tells of a spoken line, and `test_webhooks` forges the others."""

    plugin, capability = Plugin, "voice"
    submit_path = "/v1/text-to-speech/"
    deadline_s = 0.6

    def __init__(self, fakes):
        self.fakes = fakes

    def vendor(self):
        return self.fakes.Fake()

    def without_key(self):
        return ElevenLabsSettings()

    def settings(self, vendor):
        return ElevenLabsSettings(
            api_key=self.fakes.KEY, base_url=vendor.url, deadline_s=self.deadline_s, max_audio_bytes=2_000_000,
            work_dir=self.folder / "work", music_deadline_s=self.deadline_s,
        )  # fmt: skip

    def request(self, outcome):
        voice = "nobody" if outcome == "refused" else "voice000000000000000"
        return VoiceRequest(job_id="-", text="Hello dark sky.", voice=voice)

    def end(self, vendor, provider_job_id, outcome):
        vendor.quota = 0 if outcome == "failed" else 1_000_000
        vendor.silent = outcome == "unusable"


class MusicCase(VoiceCase):
    capability, submit_path, deadline_s = "music", "/v1/music$", 1.0

    def request(self, outcome):
        prompt = "A song in the style of somebody" if outcome == "refused" else "A low drone"
        return MusicRequest(job_id="-", duration_ms=5000, prompt=prompt)


class TestVoice(ProviderConformance):
    @pytest.fixture
    def case_of(self, fakes):
        return VoiceCase(fakes)


class TestMusic(ProviderConformance):
    @pytest.fixture
    def case_of(self, fakes):
        return MusicCase(fakes)
