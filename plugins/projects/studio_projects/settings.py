"""Settings of the projects plugin, `[projects]` or `STUDIO_PROJECTS__…`."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ProjectsSettings(BaseModel):
    """What an operator may change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    invitation_days: Annotated[float, Field(gt=0, le=90)] = 7
    """How long an invitation is good."""
    invitations_per_hour: Annotated[int, Field(ge=1)] = 60
    """How many mails with invitations one person may cause in an hour."""
    resend_interval_s: Annotated[int, Field(ge=0)] = 60
    """Least time between two mails of one invitation."""
    invitation_link: Annotated[str, Field(pattern=r"^(/|https?://)[^\s{}]*\{token\}[^\s{}]*$")] = (
        "/console#/invitations/{token}"
    )
    """Where the mail leads. Keep the token behind the `#`: what stands there reaches no log and no other site."""
