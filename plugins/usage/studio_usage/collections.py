"""What is stored. The ledger is the truth; the figures in `budgets` are a cache of it that is changed atomically."""

from __future__ import annotations

from typing import Any

from studio import Collection, Index

LEDGER, RULES, BUDGETS, FLAGS, CHECKS = "ledger", "budget_rules", "budgets", "usage_flags", "usage_checks"

_LIMIT: dict[str, Any] = {
    **dict.fromkeys(("scope", "scope_id", "period", "limit_uusd", "rev"), ...),
    "tz": "UTC",
    "soft_uusd": None,
    "on_exceed": "refuse",
}
COLLECTIONS = (
    Collection(
        LEDGER,
        indexes=(
            Index((("job_id", 1), ("attempt", 1), ("kind", 1)), unique=True),
            # Of two that end the same hold at once, one does: the other is told and looks again.
            Index((("closes", 1),), unique=True, partial={"closes": {"$gt": ""}}),
            Index((("project_id", 1), ("_id", -1))),
            Index((("project_id", 1), ("at", 1))),
            Index((("user_id", 1), ("at", 1))),
            Index((("kind", 1), ("_id", -1))),
            Index((("budget_ids", 1),)),
        ),
        defaults={
            "job_id": ...,
            "attempt": ...,
            "at": ...,
            "kind": ...,
            "amount_uusd": ...,
            "ended_uusd": ...,
            "project_id": ...,
            "user_id": None,
            "api_key_id": None,
            "job_kind": None,
            "provider": None,
            "model": None,
            "price_source": "unknown",
            "units": {},
            "unit_price_uusd": None,
            "budget_ids": [],
            "note": "",
        },
    ),
    Collection(RULES, indexes=(Index((("owner", 1),)),), defaults=_LIMIT | {"deleted_at": None}),
    Collection(
        BUDGETS,
        indexes=(
            Index((("scope", 1), ("scope_id", 1), ("period", 1), ("period_start", 1)), unique=True),
            Index((("resets_at", 1),)),
            Index((("held_uusd", 1),), partial={"held_uusd": {"$gt": 0}}),
        ),
        defaults={
            **_LIMIT,
            **dict.fromkeys(("held_uusd", "spent_uusd", "left_uusd", "open", "rule_id", "rule_rev"), ...),
            "late": {},
            "soft_at": None,
            "exceeded_at": None,
        },
    ),
    Collection(
        FLAGS,
        indexes=(Index((("open", 1), ("_id", 1))),),
        defaults={"job_id": ..., "attempt": ..., "held_uusd": ..., "reason": "", "note": ""},
    ),
    Collection(CHECKS),
)
