"""The section `[moderation]` of the configuration."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

WORDS = "words"
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Kind = Literal["image", "video", "audio", "music"]


class ModerationSettings(BaseModel):
    """Who judges what, and what is no objection here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=False, description="whether nothing is shown before it was judged")
    providers: list[Name] = Field(
        ["openai"], min_length=1, description="each must let it pass; `words` is our own"
    )
    words: list[Word] = Field([], description="words and phrases that `words` refuses in prompts and lines")
    kinds: list[Kind] = Field(
        ["image", "video", "audio", "music"], description="kinds of takes that are judged"
    )
    allowed: list[str] = Field(
        [], description="categories that are no objection, e.g. violence in a thriller"
    )
    frames: int = Field(3, ge=1, le=12, description="frames of a video that are judged, evenly spread")
    deadline_s: float = Field(
        8.0, gt=0, le=9.5, description="seconds for the whole judgement; the chain gives ten"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if bool(self.words) != (WORDS in self.providers) and (self.enabled or self.words):
            raise ValueError('words: list some, and name "words" among the providers; neither works alone')
        return self
