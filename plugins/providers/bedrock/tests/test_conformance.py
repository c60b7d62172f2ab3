"""What every provider promises: a chat, which is answered at once."""

from __future__ import annotations

import pytest

from studio import ChatMessage, ChatRequest
from studio.testing.providers import ProviderCase, ProviderConformance
from studio_bedrock.plugin import Plugin
from studio_bedrock.settings import BedrockSettings

pytestmark = pytest.mark.http
STOPS = {"failed": "malformed_model_output", "refused": "content_filtered", "unusable": "end_turn"}


class ChatCase(ProviderCase):
    plugin, capability = Plugin, "chat"
    submit_path = "/converse$"
    deadline_s = 0.6

    def __init__(self, fakes):
        self.fakes = fakes

    def vendor(self):
        return self.fakes.Fake()

    def without_key(self):
        return BedrockSettings()

    def settings(self, vendor):
        price = {"input": 3_000_000, "output": 15_000_000, "cache_read": 300_000, "cache_write": 6_000_000}
        return BedrockSettings(
            api_key=self.fakes.KEY, account_id=self.fakes.ACCOUNT, base_url=vendor.url, deadline_s=self.deadline_s,
            prices={"global.anthropic.claude-sonnet-4-6": price},
        )  # fmt: skip

    def request(self, outcome):
        return ChatRequest(job_id="-", messages=(ChatMessage(role="user", text="hi"),))

    def end(self, vendor, provider_job_id, outcome):
        if outcome in STOPS:
            vendor.say("", stop=STOPS[outcome])


class TestChat(ProviderConformance):
    @pytest.fixture
    def case_of(self, fakes):
        return ChatCase(fakes)
