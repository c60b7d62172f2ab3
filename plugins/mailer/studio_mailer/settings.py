"""The section `[mailer]` of the configuration."""

from pydantic import BaseModel, ConfigDict, Field


class MailerSettings(BaseModel):
    """How often and how long mails are tried, and how long their records are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tries: int = Field(15, ge=1, le=100, description="tries before a mail is dead")
    retry_s: float = Field(5.0, gt=0, description="seconds before the second try; it doubles with each one")
    retry_cap_s: float = Field(3600.0, gt=0, description="most seconds between two tries")
    scan_s: float = Field(2.0, gt=0, description="seconds between two looks for mails that are due")
    keep_d: float = Field(30.0, gt=0, description="days until the record of a sent or dead mail is removed")
