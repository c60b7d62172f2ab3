"""What every provider promises: a chat in the background, which is a job, and a picture, which comes at once."""

from __future__ import annotations

import time
from typing import ClassVar

import pytest

from studio import ChatMessage, ChatRequest, ImageRequest, VideoRequest, WebhookCall
from studio.testing.providers import ProviderCase, ProviderConformance
from studio_openai.plugin import Plugin
from studio_openai.settings import OpenaiSettings

pytestmark = pytest.mark.http
EVENTS = {"succeeded": "completed", "failed": "failed", "refused": "incomplete", "unusable": "completed"}


class OpenaiCase(ProviderCase):
    plugin = Plugin

    def __init__(self, fakes):
        self.fakes = fakes

    def vendor(self):
        return self.fakes.FakeOpenai()

    def without_key(self):
        return OpenaiSettings()

    def settings(self, vendor):
        return OpenaiSettings(
            api_key=self.fakes.KEY, base_url=f"{vendor.url}/v1", allow_private=True, chat_api="responses",
            background=True, webhook_secret=self.fakes.SECRET, work_dir=self.folder / "out",
            chat_deadline_s=self.deadline_s, image_deadline_s=self.deadline_s,
            video_models=["sora-2"], video_deadline_s=self.deadline_s,
        )  # fmt: skip


class ChatCase(OpenaiCase):
    capability = "chat"
    submit_path = "/v1/responses$"
    poll_path = "/v1/responses/[^/]+$"
    not_applicable: ClassVar = {
        "callback_address_is_sent": "the address is set up once, in the vendor's project"
    }

    def vendor(self):
        vendor = super().vendor()
        vendor.polls_to_end = 1_000_000  # only `end` ends a job
        return vendor

    def request(self, outcome):
        return ChatRequest(job_id="j1", messages=(ChatMessage(role="user", text="hi"),))

    def end(self, vendor, provider_job_id, outcome):
        vendor.end(provider_job_id, outcome)

    def webhook(self, vendor, provider_job_id, outcome, *, forged=False, age_s=0.0):
        if outcome not in EVENTS:
            return None
        secret = "whsec_Zm9yZ2VkIGZvcmdlZCBmb3JnZWQ=" if forged else self.fakes.SECRET
        at = int(time.time() - age_s)
        headers, body = vendor.webhook(f"response.{EVENTS[outcome]}", provider_job_id, at, secret)
        return WebhookCall(path="/api/webhooks/openai", headers=headers, body=body, received_at=at * 1000)


class ImageCase(OpenaiCase):
    capability = "image"
    submit_path = "/v1/images/generations$"
    memory_mb = 90  # a picture of 30 MB has to fit, and is joined from its pieces once

    def request(self, outcome):
        return ImageRequest(job_id="j1", prompt="A harbour", width=64, height=64)

    def end(self, vendor, provider_job_id, outcome):
        vendor.draws = outcome


class VideoCase(OpenaiCase):
    capability = "video"
    submit_path = "/v1/videos$"
    poll_path = "/v1/videos/[^/]+$"

    def vendor(self):
        vendor = super().vendor()
        vendor.polls_to_end = 1_000_000  # only `end` ends a job
        return vendor

    def request(self, outcome):
        still = self.folder / "still.png"
        still.write_bytes(self.fakes.png(64, 32))
        return VideoRequest(job_id="j1", prompt="Rain.", image=still, duration_ms=4000)

    def end(self, vendor, provider_job_id, outcome):
        if outcome != "running":
            vendor.end_video(provider_job_id, outcome)


class TestVideo(ProviderConformance):
    @pytest.fixture
    def case_of(self, openai_fakes):
        return VideoCase(openai_fakes)


class TestChat(ProviderConformance):
    @pytest.fixture
    def case_of(self, openai_fakes):
        return ChatCase(openai_fakes)


class TestImage(ProviderConformance):
    @pytest.fixture
    def case_of(self, openai_fakes):
        return ImageCase(openai_fakes)
