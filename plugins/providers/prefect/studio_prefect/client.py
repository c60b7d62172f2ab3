"""`PrefectPipelineRunner`: a pipeline is a deployment, a run is keyed by our job's id.

Creating a run twice under one `idempotency_key` gives the first run, so that a lost answer may be asked for again.
"""

from __future__ import annotations

import base64
import hmac
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ValidationError

from studio import (
    BadRequestError,
    Estimate,
    ProviderError,
    ProviderRejectedError,
    UnauthenticatedError,
    UnavailableError,
    WebhookNews,
    json_object,
)
from studio_prefect.models import RUN_ID, TABLE, FlowRun, Orchestration, RunNews, generation_of
from studio_prefect.settings import PrefectSettings

if TYPE_CHECKING:
    from studio import Generation, HttpAnswer, PipelineRequest, PluginContext, WebhookCall

M = TypeVar("M", bound=BaseModel)
MAX_BYTES, KEPT = 2_000_000, 1_000
SUCCESS = (200, 201)
CANCELLED = ("CANCELLED", "CANCELLING")
_NO_NAME = ("", ".", "..")


class PrefectPipelineRunner:
    """The capability `pipeline`."""

    def __init__(self, ctx: PluginContext) -> None:
        self._settings = settings = ctx.settings(PrefectSettings)
        url = (settings.api_url or "").rstrip("/")
        host = urlsplit(url).hostname or ""
        self._http = ctx.http.client(
            "prefect",
            url,
            settings.deadline_s,
            MAX_BYTES,
            headers=_authorization(settings),
            allow_private=(host,),
        )
        self._ui = settings.ui_url or (url.removesuffix("/api") if url.endswith("/api") else None)
        self._newest: OrderedDict[str, FlowRun] = OrderedDict()

    async def submit(self, request: PipelineRequest) -> Generation:
        """Create the run of a deployment, once per `job_id`.

        Raises ProviderRejectedError for a pipeline that is not there or parameters that its schema refuses.
        """
        path = f"/deployments/{await self._deployment(request.name)}/create_flow_run"
        body = {
            "parameters": request.parameters,
            "tags": ["studio"],
            "idempotency_key": request.job_id,
            "state": {"type": "SCHEDULED"},
        }
        answer = await self._http.request("POST", path, kind="safe", json=body)
        return self._generation(self._read(answer, FlowRun))

    async def poll(self, provider_job_id: str) -> Generation:
        """Report on a run; raises ProviderRejectedError for an id that is none of Prefect's."""
        return self._generation(await self._run(provider_job_id))

    async def cancel(self, provider_job_id: str) -> bool:
        """Ask for the end of a run; False when it has ended already.

        A run that never got infrastructure is answered REJECT, with the state CANCELLED: the state counts.
        """
        path = f"/flow_runs/{_checked(provider_job_id)}/set_state"
        body = {"state": {"type": "CANCELLING", "name": "Cancelling"}, "force": False}
        answer = await self._http.request("POST", path, kind="safe", json=body)
        said = self._read(answer, Orchestration)
        if said.state is not None and said.state.type in CANCELLED:
            return True
        run = await self._run(provider_job_id)
        return run.state is not None and run.state.type in CANCELLED

    def estimate(self, request: PipelineRequest) -> Estimate:
        """Say that a run itself costs nothing here."""
        del request
        return Estimate(cost_uusd=0, note="runs on your Prefect; what its steps buy is theirs")

    async def parse_webhook(self, call: WebhookCall) -> WebhookNews:
        """Check the secret header; Prefect signs nothing, so the body is a hint and the server is asked."""
        secret, given = self._settings.webhook_secret, call.headers.get(self._settings.webhook_header, "")
        if secret is None:
            raise UnavailableError("Nothing to check the call with: set STUDIO_PREFECT__WEBHOOK_SECRET.")
        if not hmac.compare_digest(
            given.encode(errors="surrogateescape"), secret.get_secret_value().encode()
        ):
            raise UnauthenticatedError("The secret is not good.", code="webhook_signature")
        try:
            news = RunNews.model_validate_json(call.body)
        except ValidationError as error:
            raise BadRequestError("This is no news of a run.") from error
        at_ms = int(news.occurred.timestamp() * 1000) if news.occurred else None
        delivery_id = news.event_id or f"{news.flow_run_id}:{news.state}:{at_ms or 0}"
        return WebhookNews(
            delivery_id=delivery_id, kind=news.state, provider_job_id=news.flow_run_id, at_ms=at_ms
        )

    async def _deployment(self, name: str) -> str:
        flow, _, deployment = self._settings.deployments.get(name, name).partition("/")
        if flow in _NO_NAME or deployment in _NO_NAME or "/" in deployment:
            detail = f"No deployment is set for the pipeline {name[:100]!r}: set STUDIO_PREFECT__DEPLOYMENTS."
            raise ProviderRejectedError(detail, code="unknown_pipeline")
        path = f"/deployments/name/{quote(flow, safe='')}/{quote(deployment, safe='')}"
        found = json_object(self._good(await self._http.request("GET", path))).get("id")
        return _checked(found)

    async def _run(self, run_id: str) -> FlowRun:
        answer = await self._http.request("GET", f"/flow_runs/{_checked(run_id)}")
        return self._read(answer, FlowRun)

    def _generation(self, run: FlowRun) -> Generation:
        """Return the newest that is known of the run: an answer that was overtaken tells nothing new."""
        kept = self._newest.get(run.id)
        if kept and kept.state and (run.state is None or run.state.timestamp < kept.state.timestamp):
            run = kept
        self._newest[run.id] = run
        self._newest.move_to_end(run.id)
        while len(self._newest) > KEPT:
            self._newest.popitem(last=False)
        url = f"{self._ui}/runs/flow-run/{run.id}" if self._ui else None
        return generation_of(run, url, self._settings.poll_s)

    def _read(self, answer: HttpAnswer, model: type[M]) -> M:
        try:
            return model.model_validate(json_object(self._good(answer)))
        except ValidationError as error:
            raise ProviderError("Prefect's answer has another shape.", code="provider_bad_answer") from error

    def _good(self, answer: HttpAnswer) -> HttpAnswer:
        if answer.status in SUCCESS:
            return answer
        raise TABLE.refusal(answer, message=_reason(answer))


def _authorization(settings: PrefectSettings) -> dict[str, str]:
    if settings.api_key is not None:
        return {"Authorization": f"Bearer {settings.api_key.get_secret_value()}"}
    if settings.auth_string is not None:
        basic = base64.b64encode(settings.auth_string.get_secret_value().encode()).decode()
        return {"Authorization": f"Basic {basic}"}
    return {}


def _checked(run_id: object) -> str:
    if isinstance(run_id, str) and RUN_ID.fullmatch(run_id):
        return run_id
    raise ProviderRejectedError("This is no id of Prefect's.", code="unknown_run")


def _reason(answer: HttpAnswer) -> str:
    """Return what Prefect says is wrong: `detail`, or the first message of `exception_detail`."""
    try:
        body: dict[str, Any] = json_object(answer)
    except ProviderError:
        return f"status {answer.status}"
    if isinstance(detail := body.get("detail"), str):
        return detail
    listed = body.get("exception_detail")
    first = listed[0] if isinstance(listed, list) and listed else {}
    told = first.get("msg") if isinstance(first, dict) else None
    return str(told or body.get("exception_message") or f"status {answer.status}")
