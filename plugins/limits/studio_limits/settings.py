"""Settings of the limits, `[limits]` or `STUDIO_LIMITS__…`."""

import re
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, PlainValidator

_RATE = re.compile(r"[1-9]\d{0,9}/[1-9]\d{0,4}")
NONE = "none"


class Rate(str):
    """So many calls in so many seconds: "20/5"."""

    __slots__ = ()

    def __new__(cls, text: object) -> Self:
        """Check the text; raises ValueError."""
        if not (isinstance(text, str) and _RATE.fullmatch(text)):
            raise ValueError('write "calls/seconds", for example "20/5"')
        return super().__new__(cls, text)

    @property
    def calls(self) -> int:
        """How many calls."""
        return int(self.partition("/")[0])

    @property
    def seconds(self) -> int:
        """In how many seconds."""
        return int(self.partition("/")[2])

    @property
    def half(self) -> "Rate":
        """Half of the calls, at least one: what a process allows alone while Redis is away."""
        return Rate(f"{max(1, self.calls // 2)}/{self.seconds}")


def _parse_lifted(given: object) -> Rate | None:
    return None if given == NONE else Rate(given)


GivenRate = Annotated[Rate, PlainValidator(Rate)]
LiftedRate = Annotated[Rate | None, PlainValidator(_parse_lifted)]


class LimitsSettings(BaseModel):
    """Each rate is "calls/seconds". What is counted where, the README says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    all: GivenRate = Rate("300/10")
    create: GivenRate = Rate("20/5")
    auth: GivenRate = Rate("2/3")
    refresh: GivenRate = Rate("10/10")
    mail: GivenRate = Rate("10/60")
    routes: dict[str, LiftedRate] = {}
    """{"POST /api/auth/refresh": "5/60"}; "none" lifts a route's own rate."""
    share_s: float = Field(0.5, ge=0.1, le=5)
    """How often the processes tell each other of busy callers."""
