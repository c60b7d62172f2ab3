"""The capability "moderation", which this plugin asks for and any provider may offer.

Declare `ProviderSpec("…", "moderation", "package.module:Class", idempotent_submit=True)`. The class is a `Generator`:
its `submit` takes a `ModerationRequest` and answers with what `Verdict` reads in `data`. An answer of any other shape
releases nothing.
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from studio import GenerationRequest, ProviderModel

CAPABILITY = "moderation"


class ModerationRequest(GenerationRequest):
    """Judge one thing: a `text`, or a local `image` of type `mime`. One at a time, so that it can be named."""

    text: str | None = None
    image: Path | None = None
    mime: str = "image/jpeg"

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.text is None) == (self.image is None):
            raise ValueError("either text or image")
        return self


class Flag(ProviderModel):
    """One objection, in the provider's own word; `score` 0 to 1 where it gives one."""

    category: Annotated[str, Field(min_length=1, max_length=100)]
    score: Annotated[float, Field(ge=0, le=1)] | None = None


class Verdict(ProviderModel):
    """What `Generation.data` of a moderation says; no flags: nothing is wrong with it."""

    flags: tuple[Flag, ...]
