"""The step of the chain: every input and every picture is judged, and only what all let pass is released."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from studio import (
    Actor,
    DatabaseUnavailableError,
    ProviderError,
    ProviderRejectedError,
    RateLimitedError,
    StorageFullError,
    StudioError,
    new_id,
    now_ms,
)
from studio_moderation.api import CAPABILITY, Flag, ModerationRequest, Verdict
from studio_moderation.looking import Looking
from studio_moderation.settings import ModerationSettings
from studio_previews.api import CAPABILITY as THUMBNAIL

if TYPE_CHECKING:
    from pathlib import Path

    from studio import Doc, PluginContext

REFUSED, UNAVAILABLE = "moderation_refused", "moderation_unavailable"
TRIES, PAUSE_S = 2, 0.5


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to judge, and the name of the input that it is: prompt, text, image or video."""

    input: str
    text: str | None = None
    image: Path | None = None
    mime: str = "image/jpeg"


class Moderation:
    """Asks whoever the operator has named."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx, self._settings = ctx, ctx.settings(ModerationSettings)
        self._looking = Looking(ctx, self._settings.frames)

    async def check(self) -> str:
        """Say who judges; raises when one that is named cannot: every take would be paid for and kept back."""
        if not self._settings.enabled:
            return "off"
        for name in self._settings.providers:
            self._ctx.providers.get(CAPABILITY, name)
        if "video" in self._settings.kinds and self._makes_videos():
            self._ctx.providers.get(THUMBNAIL)
        return f"asks {', '.join(self._settings.providers)}"

    def _makes_videos(self) -> bool:
        """Say whether there will be frames to look at."""
        rows = self._ctx.providers.describe()
        return any(row["available"] and row["capability"] in ("video", "film") for row in rows)

    async def finalize(self, asset: Doc) -> Doc | None:
        """Return that everybody let it pass.

        Raises ProviderRejectedError (moderation_refused) naming categories and input, ProviderError
        (moderation_unavailable) when there is no judgement, whatever the reason. A full disk and a database that is
        away are raised as they are: the job comes again.
        """
        if not self._settings.enabled or asset["kind"] not in self._settings.kinds:
            return None
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                found = await self._judged(asset)
        except (DatabaseUnavailableError, StorageFullError):
            raise
        except TimeoutError as error:
            raise self._unavailable(f"it took longer than {self._settings.deadline_s:g} s") from error
        except StudioError as error:
            raise self._unavailable(error.detail) from error
        if found:
            raise _refusal(found)
        return {"moderation": {"state": "passed", "by": self._settings.providers, "at": now_ms()}}

    async def _judged(self, asset: Doc) -> list[tuple[str, Flag]]:
        """Return every objection with the input it is about."""
        given = {"prompt": asset["basis"].get("prompt"), "text": asset["media"].get("text")}
        questions = [Question(name, text=text) for name, text in given.items() if text and text.strip()]
        questions += [
            Question(asset["kind"], image=path, mime=mime) for path, mime in await self._looking.at(asset)
        ]
        asked = [(question, name) for question in questions for name in self._settings.providers]
        answers = await asyncio.gather(*(self._ask(asset, *pair) for pair in asked), return_exceptions=True)
        found: list[tuple[str, Flag]] = []
        for (question, _), answer in zip(asked, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            found += [
                (question.input, flag) for flag in answer if flag.category not in self._settings.allowed
            ]
        return found

    async def _ask(self, asset: Doc, question: Question, provider: str) -> tuple[Flag, ...]:
        """Ask one provider one question, a second time when that may help."""
        for left in reversed(range(TRIES)):
            request = ModerationRequest(
                job_id=f"moderation-{new_id()}", text=question.text, image=question.image, mime=question.mime
            )
            try:
                done = await self._ctx.providers.generate_now(
                    CAPABILITY, request, Actor(asset["user_id"]), asset["project_id"], provider
                )
            except (ProviderError, RateLimitedError) as error:
                if not left or not getattr(error, "retryable", True):
                    raise
                await asyncio.sleep(PAUSE_S)
            else:
                return _verdict(done.data, provider)
        raise AssertionError("the last try returns or raises")

    def _unavailable(self, reason: str) -> ProviderError:
        return ProviderError(f"Nobody could judge it, so it is not shown: {reason}", code=UNAVAILABLE)


def _verdict(data: Doc, provider: str) -> tuple[Flag, ...]:
    try:
        return Verdict.model_validate(data).flags
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ProviderError(f"{provider} answered with no verdict ({where}: {first['msg']}).") from error


def _refusal(found: list[tuple[str, Flag]]) -> ProviderRejectedError:
    """Return the error that names what was refused and why; of several inputs the first is `input`."""
    first = found[0][0]
    inputs = ", ".join(dict.fromkeys(name for name, _ in found))
    labels = list(dict.fromkeys(flag.category for _, flag in found))
    message = f"Moderation refused the {inputs}: {', '.join(labels)}."
    return ProviderRejectedError(message, code=REFUSED, input=first, labels=labels)
