"""Prefect keeps what every provider promises."""

from __future__ import annotations

import json
from typing import ClassVar

import pytest

from studio import PipelineRequest, WebhookCall, now_ms
from studio.testing.providers import ProviderCase, ProviderConformance
from studio_prefect.plugin import Plugin
from studio_prefect.settings import PrefectSettings

pytestmark = pytest.mark.http
SECRET = "an automation's secret, 32 chars"
STATES = {"succeeded": "COMPLETED", "failed": "FAILED", "running": "RUNNING"}
UNSIGNED = "Prefect signs nothing: a secret header says who calls, and the server is asked for the state"


class PrefectPipelines(ProviderCase):
    plugin, capability = Plugin, "pipeline"
    submit_path, poll_path = r"/create_flow_run$", r"/flow_runs/[^/]+$"
    deadline_s = 0.6
    not_applicable: ClassVar = {
        "success_without_a_result_fails": "a pipeline's result is its own: what is COMPLETED has succeeded",
        "callback_address_is_sent": "an automation is set up once in Prefect, for all runs",
        "webhook_forged[flipped bit]": UNSIGNED,
        "webhook_forged[truncated]": UNSIGNED,
        "webhook_forged[re-encoded]": UNSIGNED,
        "webhook_forged[old timestamp]": UNSIGNED,
    }

    def __init__(self, fakes):
        self.fakes = fakes

    def vendor(self):
        fake = self.fakes.FakePrefect()
        fake.deploy("film/default", required=["story"])
        return fake

    def settings(self, vendor):
        return PrefectSettings(
            api_url=f"{vendor.url}/api", webhook_secret=SECRET, deadline_s=self.deadline_s, poll_s=0.01
        )

    def without_key(self):
        return PrefectSettings()

    def request(self, outcome):
        parameters = {} if outcome == "refused" else {"story": "s1"}
        return PipelineRequest(job_id="j1", name="film/default", parameters=parameters)

    def end(self, vendor, provider_job_id, outcome):
        if provider_job_id and outcome in STATES:
            vendor.move(provider_job_id, STATES[outcome], message="no panels" if outcome == "failed" else "")

    def webhook(self, vendor, provider_job_id, outcome, *, forged=False, age_s=0.0):
        if outcome not in STATES:
            return None
        body = {"event_id": f"e-{outcome}", "flow_run_id": provider_job_id, "state": STATES[outcome]}
        headers = {"content-type": "application/json", "x-studio-secret": "x" * 32 if forged else SECRET}
        return WebhookCall(
            path="/api/webhooks/prefect",
            headers=headers,
            body=json.dumps(body).encode(),
            received_at=now_ms(),
        )


class TestPrefectPipelines(ProviderConformance):
    @pytest.fixture
    def case_of(self, load_fake):
        return PrefectPipelines(load_fake("prefect"))
