"""What is stored. The ledger is the truth; the figures in `budgets` are a cache of it that is changed atomically."""

from __future__ import annotations

from studio import Collection, Index

LEDGER, RULES, BUDGETS, FLAGS, CHECKS = "ledger", "budget_rules", "budgets", "usage_flags", "usage_checks"

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
    ),
    Collection(RULES, indexes=(Index((("owner", 1),)),)),
    Collection(
        BUDGETS,
        indexes=(
            Index((("scope", 1), ("scope_id", 1), ("period", 1), ("period_start", 1)), unique=True),
            Index((("resets_at", 1),)),
            Index((("held_uusd", 1),), partial={"held_uusd": {"$gt": 0}}),
        ),
    ),
    Collection(FLAGS, indexes=(Index((("open", 1), ("_id", 1))),)),
    Collection(CHECKS),
)
