"""Replicate's HTTP API. Source: Replicate HTTP API reference; requests compared with replicate 1.0.7."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from studio import (
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    UnauthenticatedError,
    UnavailableError,
    json_object,
    verify_standard_webhook,
)
from studio_jobvendor.api import UNREADABLE, mime_of, sent_or_put
from studio_replicate.models import TABLE, Prediction, read_prediction
from studio_replicate.settings import ReplicateSettings, signing_key

if TYPE_CHECKING:
    from pathlib import Path

    from studio import HttpAnswer, PluginContext, StudioError, WebhookCall
    from studio_replicate.settings import ReplicateModel

INLINE_BYTES = 256_000
"""Up to here a file travels inside the request, as the vendor advises."""
ANSWER_BYTES, UPLOAD_DEADLINE_S = 5_000_000, 120.0
SECRET_AGAIN_S, FAILED_AGAIN_S, SECRET_DEADLINE_S = 60.0, 10.0, 10.0
"""A webhook that does not fit makes us fetch the secret, no more often than this: anybody can send one."""
_ID = re.compile(r"[A-Za-z0-9]{1,64}")


class ReplicateClient:
    """Calls the API with the operator's token; no caller names an address, a header or a token."""

    def __init__(self, ctx: PluginContext, settings: ReplicateSettings) -> None:
        self.settings = settings
        token = settings.api_token.get_secret_value() if settings.api_token else ""
        self._http = ctx.http.client(
            "replicate",
            settings.base_url,
            settings.deadline_s,
            ANSWER_BYTES,
            headers={"Authorization": f"Bearer {token}"},
            allow_private=settings.private_hosts,
        )
        self._secret = settings.webhook_secret.get_secret_value() if settings.webhook_secret else None
        self._ask_from = float("-inf")
        self._asking = asyncio.Lock()

    # ------------------------------------------------------------ predictions

    async def create(self, model: ReplicateModel, given: dict[str, Any], callback: str | None) -> Prediction:
        """Start a prediction, sent once at most.

        Raises ProviderRejectedError, ProviderError or ProviderUnavailableError when it was refused,
        OutcomeUnknownError when it may run and nobody knows its id.
        """
        body: dict[str, Any] = {"input": given}
        if callback and callback.startswith("https://"):
            body |= {"webhook": callback, "webhook_events_filter": ["completed"]}
        path, version = _place(model.model)
        headers = {"Cancel-After": f"{self.settings.cancel_after_s}s"}
        if model.wait_s:
            headers["Prefer"] = f"wait={model.wait_s}"
        deadline_s = self.settings.deadline_s + model.wait_s
        answer = await self._sent(path, headers=headers, json=body | version, deadline_s=deadline_s)
        if answer.status >= 300:  # noqa: PLR2004 - all that is no success
            raise refusal(answer)
        try:
            return read_prediction(json_object(answer))
        except ProviderError as error:
            raise _unreadable() from error

    async def _sent(self, path: str, **content: Any) -> HttpAnswer:
        try:
            return await self._http.request("POST", path, **content)
        except ProviderError as error:
            if error.code in UNREADABLE:  # an answer came: it is no refusal
                raise _unreadable() from error
            raise

    async def get(self, prediction_id: str) -> Prediction:
        """Ask for a prediction; raises ProviderRejectedError for one that is not there."""
        answer = await self._http.request("GET", f"/v1/predictions/{checked(prediction_id)}")
        if answer.status != 200:  # noqa: PLR2004 - OK
            raise refusal(answer)
        return read_prediction(json_object(answer))

    async def cancel(self, prediction_id: str) -> bool:
        """Cancel a prediction; False when it is over or unknown."""
        path = f"/v1/predictions/{checked(prediction_id)}/cancel"
        answer = await self._http.request("POST", path, kind="safe")
        if answer.status in (404, 409, 422):
            return False
        if answer.status != 200:  # noqa: PLR2004 - OK
            raise refusal(answer)
        return TABLE.state(read_prediction(json_object(answer)).status) in ("running", "cancelled")

    # ------------------------------------------------------------ files

    async def deliver(self, path: Path) -> str:
        """Return what stands for a local file in an input: a data URI, or the address of an upload."""
        return await sent_or_put(path, INLINE_BYTES, self.settings.max_input_bytes, self._uploaded)

    async def _uploaded(self, path: Path) -> str:
        part = (f"input{path.suffix}", await asyncio.to_thread(path.read_bytes), mime_of(path))
        answer = await self._http.request(  # a second copy is removed after a day
            "POST", "/v1/files", kind="safe", files={"content": part}, deadline_s=UPLOAD_DEADLINE_S
        )
        if answer.status >= 300:  # noqa: PLR2004 - all that is no success
            raise refusal(answer)
        urls = json_object(answer).get("urls")
        address = urls.get("get") if isinstance(urls, dict) else None
        if not isinstance(address, str):
            raise ProviderError("Replicate does not say where the file is.", code="upload_failed")
        return address

    # ------------------------------------------------------------ webhooks

    async def verify(self, call: WebhookCall) -> str:
        """Check a signature and return the delivery's id.

        Raises UnauthenticatedError, or UnavailableError when the secret cannot be fetched.
        """
        if self._secret is None:
            await self._fetch_secret()
        known = self._secret or ""
        try:
            return verify_standard_webhook(call, known)
        except UnauthenticatedError:
            if self.settings.webhook_secret is not None:
                raise
            await self._fetch_secret()
            if self._secret == known:
                raise
        return verify_standard_webhook(call, self._secret or "")

    async def _fetch_secret(self) -> None:
        """Fetch the account's signing secret, once a minute at most; raises UnavailableError without any."""
        async with self._asking:
            if time.monotonic() >= self._ask_from:
                found = await self._asked()
                self._secret = found or self._secret
                self._ask_from = time.monotonic() + (SECRET_AGAIN_S if found else FAILED_AGAIN_S)
        if self._secret is None:
            raise UnavailableError(
                "Replicate does not give the secret of its webhooks.", retry_after=FAILED_AGAIN_S
            )

    async def _asked(self) -> str | None:
        try:
            path = "/v1/webhooks/default/secret"
            answer = await self._http.request("GET", path, deadline_s=SECRET_DEADLINE_S)
            secret = json_object(answer).get("key") if answer.status == 200 else None  # noqa: PLR2004 - OK
            return secret if isinstance(secret, str) and signing_key(secret) else None
        except (ProviderError, ProviderUnavailableError, ValueError):
            return None


def checked(prediction_id: str) -> str:
    """Return an id that can be part of a path; raises ProviderRejectedError."""
    if not _ID.fullmatch(prediction_id):
        raise ProviderRejectedError("This is no id of Replicate's.", code="unknown_job_or_model")
    return prediction_id


def refusal(answer: HttpAnswer) -> StudioError:
    """Return the error of an answer that is none; its body is a problem with `detail`, or no JSON at all."""
    try:
        told = json_object(answer)
    except ProviderError:
        told = {}
    return TABLE.refusal(answer, message=str(told.get("detail") or told.get("title") or ""))


def _place(model: str) -> tuple[str, dict[str, str]]:
    """Return the path of a model's predictions, and its version where that goes into the body."""
    if model.startswith("deployments/"):
        return f"/v1/{model}/predictions", {}
    owner, _, version = model.rpartition(":")
    if owner or "/" not in model:
        return "/v1/predictions", {"version": version}
    return f"/v1/models/{model}/predictions", {}


def _unreadable() -> OutcomeUnknownError:
    return OutcomeUnknownError("Replicate took the request with an answer that cannot be read.")


_clients: WeakKeyDictionary[Any, ReplicateClient] = WeakKeyDictionary()


def client_of(ctx: PluginContext) -> ReplicateClient:
    """Return the client of a plugin context, one for all capabilities."""
    if ctx not in _clients:
        _clients[ctx] = ReplicateClient(ctx, ctx.settings(ReplicateSettings))
    return _clients[ctx]
