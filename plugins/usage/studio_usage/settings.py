"""Settings of the usage plugin, `[usage]` or `STUDIO_USAGE__…`."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class UsageSettings(BaseModel):
    """What an operator may change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unknown_hold_uusd: Annotated[int | None, Field(gt=0, le=10**12)] = None
    """What is held (micro-USD) for a call of unknown price; None: no such call where a budget refuses."""
    reconcile_s: Annotated[float, Field(ge=1, le=3600)] = 60.0
    """Seconds between two looks for what a process that died has left half done."""
    orphan_s: Annotated[float, Field(ge=10, le=3600)] = 60.0
    """Seconds after which a reservation without its row in the ledger is nobody's any more."""
    unsettled_h: Annotated[float, Field(gt=0, le=720)] = 1.0
    """Hours after which a hold that no job answers for is flagged."""
    check_hour: Annotated[int, Field(ge=0, le=23)] = 3
    """Hour (UTC) from which on the nightly check runs."""
    check_days: Annotated[int, Field(ge=1, le=3660)] = 35
    """How far back the nightly check looks."""
