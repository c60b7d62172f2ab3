"""The Converse API with a bearer key: one call for a whole answer, one for an answer in pieces."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import orjson

from studio import HttpAnswer, OutcomeUnknownError, ProviderError, ProviderRejectedError, json_object
from studio_bedrock.api import profile_arn
from studio_bedrock.eventstream import FrameError, FrameReader
from studio_bedrock.models import TABLE
from studio_bedrock.reply import UNREADABLE
from studio_bedrock.settings import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from studio import PluginContext, StudioError
    from studio_bedrock.eventstream import Frame
    from studio_bedrock.settings import BedrockSettings

OK, TOO_MANY = 200, 429
PAUSE_S = 5.0
"""How long to wait after a throttled call; the vendor does not say."""
TOLD = (429, 503)
"""Statuses whose error type says more than their number."""
RAN_STATUS, SERVER_ERROR = frozenset({408, 424}), 500
"""Answers after which the model has run, or may have (408: it timed out, 424: it failed): not to be sent again."""
NOT_RUN = frozenset({"ServiceUnavailableException", "ThrottlingException", "ModelNotReadyException"})
REQUEST_ID = "x-amzn-requestid"


class BedrockClient:
    """Calls the API with the operator's key; no caller names an address, a header or a key."""

    def __init__(self, ctx: PluginContext, settings: BedrockSettings) -> None:
        self._settings = settings
        host = urlsplit(settings.address).hostname or ""
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._http = ctx.http.client(
            "bedrock",
            settings.address,
            settings.deadline_s,
            settings.max_answer_bytes,
            headers={"Authorization": f"Bearer {key}"},
            allow_private=[host] if host in LOOPBACK else [],
        )

    def path(self, profile: str, call: str) -> str:
        """Return the path of a call: the ARN is one segment, its colons and slashes encoded."""
        arn = profile_arn(profile, self._settings.region, self._settings.account_id)
        return f"/model/{quote(arn, safe='')}/{call}"

    async def converse(self, profile: str, body: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """Return the whole answer and the vendor's id of the call; sent once at most.

        Raises ProviderError or ProviderRejectedError when the vendor refuses, OutcomeUnknownError when its yes
        cannot be read or the model may have run.
        """
        answer = await self._http.request("POST", self.path(profile, "converse"), json=body, returned=TOLD)
        if answer.status != OK:
            raise refusal(answer)
        try:
            return json_object(answer), answer.headers.get(REQUEST_ID, "")
        except ProviderError as error:
            raise OutcomeUnknownError(UNREADABLE, code="provider_bad_answer") from error

    @asynccontextmanager
    async def events(
        self, profile: str, body: dict[str, Any]
    ) -> AsyncIterator[tuple[AsyncIterator[tuple[str, Any]], str]]:
        """Open a streamed answer: pairs of an event's name and its content, and the vendor's id of the call."""
        path = self.path(profile, "converse-stream")
        async with self._http.stream("POST", path, json=body, returned=TOLD) as stream:
            if stream.status != OK:
                whole = b"".join([piece async for piece in stream])
                raise refusal(HttpAnswer(stream.status, stream.headers, whole))
            yield _events(stream), stream.headers.get(REQUEST_ID, "")


async def _events(pieces: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, Any]]:
    reader = FrameReader()
    try:
        async for piece in pieces:
            for frame in reader.feed(piece):
                yield _event(frame)
        reader.close()
    except FrameError as error:
        raise OutcomeUnknownError(
            f"Bedrock's stream is broken: {error}.", code="provider_bad_answer"
        ) from error


def _event(frame: Frame) -> tuple[str, Any]:
    """Return one event; raises what an exception inside the stream means."""
    try:
        content = orjson.loads(frame.payload)
    except orjson.JSONDecodeError as error:
        raise OutcomeUnknownError(UNREADABLE, code="provider_bad_answer") from error
    if frame.headers.get(":message-type") == "event":
        return frame.headers.get(":event-type", ""), content
    word = frame.headers.get(":exception-type") or frame.headers.get(":error-code", "")
    message = content.get("message", "") if isinstance(content, dict) else ""
    failure = TABLE.failure(word[:1].upper() + word[1:], message=str(message))
    kind = ProviderRejectedError if word == "validationException" else OutcomeUnknownError
    raise kind(f"Bedrock broke off: {failure.message}", code=failure.code, input=failure.input)


def refusal(answer: HttpAnswer) -> StudioError:
    """Return the error of an answer that is none: its type stands in a header, before a colon.

    An OutcomeUnknownError where the model has run, or where nobody says that it has not.
    """
    word = answer.headers.get("x-amzn-errortype", "").partition(":")[0]
    try:
        found = json_object(answer)
    except ProviderError:
        found = {}
    message = str(found.get("message") or found.get("Message") or "")
    if word not in NOT_RUN and (answer.status in RAN_STATUS or answer.status >= SERVER_ERROR):
        told = TABLE.failure(word, message=message).message
        return OutcomeUnknownError(f"Bedrock answered {answer.status}: {told} It may be charged.")
    error = TABLE.refusal(answer, word, message=message)
    if answer.status == TOO_MANY:
        wait = answer.headers.get("retry-after", "")
        error.retry_after = float(wait) if wait.isascii() and wait.isdigit() else PAUSE_S
    return error
