"""The section `[webhooks]` of the configuration."""

from pydantic import BaseModel, ConfigDict, Field


class WebhooksSettings(BaseModel):
    """What is taken from vendors, and how others are told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    body_limit: int = Field(1_048_576, ge=1_024, description="bytes a vendor's call may have")
    keep_d: float = Field(30.0, ge=7, description="days that calls and deliveries are kept")
    retry_s: float = Field(1.0, gt=0, description="seconds before a call is worked on again; it doubles")
    retry_cap_s: float = Field(900.0, gt=0, description="most seconds between two of these")
    wait_h: float = Field(24.0, gt=0, le=168, description="hours until a call about an unknown job is dead")
    concurrency: int = Field(4, ge=1, le=64, description="calls that are worked on at a time")
    refused_calls: int = Field(30, ge=1, description="bad signatures an address may send in refused_s")
    refused_s: float = Field(60.0, gt=0, description="seconds in which these are counted")
    private_hosts: list[str] = Field([], description="hosts with private addresses that may be told")
    timeout_s: float = Field(15.0, gt=0, le=60, description="seconds an endpoint has to answer")
    resend_s: list[float] = Field(
        [5, 300, 1_800, 7_200, 18_000, 36_000, 23_000], description="seconds before each further try"
    )
    deliveries: int = Field(16, ge=1, le=20, description="endpoints that are told at a time")
    """More would wait for one of the client's 20 connections, and that wait would count as theirs."""
    give_up_d: float = Field(5.0, gt=0, description="days without a success until an endpoint is off")
    endpoints: int = Field(20, ge=1, description="endpoints a project may have")
    scan_s: float = Field(1.0, gt=0, description="seconds between two looks for what is due")
