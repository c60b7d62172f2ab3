"""Models of usage, ledger and budgets. Money is integer micro-USD, times are UTC ms."""

from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from studio import Model, PageQuery
from studio_usage.periods import zone

Money = Annotated[int, Field(ge=0, le=10**15)]
Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
Period = Literal["total", "day", "month"]
Kind = Literal["grant", "hold", "capture", "release", "refund", "adjust"]


def _known_zone(name: str) -> str:
    zone(name)
    return name


Zone = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$"), AfterValidator(_known_zone)]
Note = Annotated[str, Field(max_length=500)]


class BudgetSet(Model):
    """A limit for a period; `tz` says whose days and months. `soft_uusd` only tells, `warn` lets pass."""

    period: Period = "month"
    tz: Zone = "UTC"
    limit_uusd: Money
    soft_uusd: Money | None = None
    on_exceed: Literal["refuse", "warn"] = "refuse"


class ScopedBudgetSet(BudgetSet):
    """A limit for a user, an API key or a provider."""

    scope: Literal["user", "api_key", "provider"]
    scope_id: Id


class BudgetPeriodQuery(Model):
    """Which budget of a project."""

    period: Period = "month"


class ScopedBudgetQuery(Model):
    """Whose budgets."""

    scope: Literal["user", "api_key", "provider"]
    scope_id: Id


class BudgetDeleteQuery(ScopedBudgetQuery):
    """Which budget of a user, an API key or a provider."""

    period: Period = "month"


class BudgetPublic(Model):
    """A budget in its present period. `left_uusd` is below zero when a charge was larger than its hold."""

    id: str
    scope: str
    scope_id: str
    period: Period
    tz: str
    limit_uusd: int
    soft_uusd: int | None
    on_exceed: str
    held_uusd: int
    spent_uusd: int
    left_uusd: int
    period_start: int
    resets_at: int | None


class BudgetList(Model):
    """Budgets, and what the tightest of those that refuse leaves for the next call (null: nothing refuses)."""

    items: list[BudgetPublic]
    left_uusd: int | None = None


class UsageQuery(Model):
    """Days in `tz`, `until` included; without dates the last 30. At most 366."""

    since: date | None = None
    until: date | None = None
    tz: Zone = "UTC"

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.since and self.until and not 0 <= (self.until - self.since).days <= 366:  # noqa: PLR2004 - a year
            raise ValueError("until comes after since, at most 366 days later")
        return self


class UsagePart(Model):
    """What one day, provider, model, user or kind of job has cost; refunds are taken off."""

    key: str
    spent_uusd: int
    calls: int
    unknown_calls: int


class UsageReport(Model):
    """What was spent in a time; `held_uusd` and `unknown_calls` are not in `spent_uusd`."""

    since: int
    until: int
    tz: str
    spent_uusd: int
    refunded_uusd: int
    held_uusd: int
    calls: int
    unknown_calls: int
    units: dict[str, int]
    by_day: list[UsagePart]
    by_provider: list[UsagePart]
    by_model: list[UsagePart]
    by_user: list[UsagePart]
    by_kind: list[UsagePart]
    by_project: list[UsagePart]


class MyUsage(UsageReport):
    """The caller's own, with their budgets."""

    budgets: list[BudgetPublic]


class LedgerQuery(PageQuery):
    """A page of rows, newest first; of one kind, or of one job."""

    kind: Kind | None = None
    job_id: Annotated[str | None, Field(max_length=200)] = None


class LedgerRow(Model):
    """One row. `amount_uusd` null: nobody knows; `ended_uusd` is how much of the hold it ended."""

    id: str
    at: int
    kind: Kind
    amount_uusd: int | None
    ended_uusd: int = 0
    price_source: str = "unknown"
    project_id: str | None = None
    user_id: str | None = None
    api_key_id: str | None = None
    job_id: str
    attempt: int
    job_kind: str | None = None
    provider: str | None = None
    model: str | None = None
    units: dict[str, int] = Field(default_factory=dict)
    unit_price_uusd: int | None = None
    budget_ids: list[str] = Field(default_factory=list)
    note: str = ""


class FlagPublic(Model):
    """An attempt that a person has to look at."""

    id: str
    reason: str
    job_id: str
    attempt: int
    project_id: str | None
    user_id: str | None
    provider: str | None
    model: str | None
    held_uusd: int
    at: int
    note: str = ""


class ByHand(Model):
    """An amount for one attempt of a job, by an admin."""

    job_id: Annotated[str, Field(min_length=1, max_length=200)]
    attempt: Annotated[int, Field(ge=0, lt=2**31)] = 1
    amount_uusd: Money
    note: Note = ""


class Refund(ByHand):
    """Money that came back."""

    amount_uusd: Annotated[int, Field(gt=0, le=10**15)]


class CheckRequest(Model):
    """Whether to write what the ledger says into budgets that differ, and whether to look at all of the past."""

    repair: bool = False
    everything: bool = False


class Difference(Model):
    """Two figures that should be equal."""

    what: str
    id: str
    ledger: Any = None
    found: Any = None


class CheckReport(Model):
    """The ledger against budgets and jobs.

    `repaired` counts budgets that were written anew, `busy` those that changed too fast to be compared.
    """

    started_at: int
    since: int
    budgets: int
    busy: int
    attempts: int
    jobs: int
    ledger_uusd: int
    jobs_uusd: int
    flagged: int
    repaired: int
    differences: list[Difference]
