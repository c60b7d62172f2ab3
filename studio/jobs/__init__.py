"""Durable jobs: the document in MongoDB is the truth, the engine only rings."""

from __future__ import annotations

from studio.jobs.contract import (
    ACTIVE,
    TERMINAL,
    CostDecision,
    CostHold,
    CostSettlement,
    JobBackend,
    JobKind,
    JobOrder,
    JobState,
)
from studio.jobs.service import Jobs
from studio.jobs.settings import JobsSettings
from studio.jobs.store import JOBS_COLLECTION

__all__ = [
    "ACTIVE",
    "JOBS_COLLECTION",
    "TERMINAL",
    "CostDecision",
    "CostHold",
    "CostSettlement",
    "JobBackend",
    "JobKind",
    "JobOrder",
    "JobState",
    "Jobs",
    "JobsSettings",
]
