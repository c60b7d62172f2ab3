"""Routes of usage, ledger and budgets."""

from __future__ import annotations

from studio import SIGNED_IN, Route
from studio_usage import handlers as h
from studio_usage import models as m

PROJECT = "/api/workbench/projects/{project_id}"
BUDGET = PROJECT + "/budget"
BUDGETS = "/api/usage/budgets"
READ, MANAGE, OPERATE = "usage:read", "budget:manage", "usage:operate"
CHECK_S = 300.0

ROUTES = [
    Route("GET", PROJECT + "/usage", h.get_project_usage, READ, returns=m.UsageReport),
    Route("GET", PROJECT + "/ledger", h.list_ledger, READ, returns=m.LedgerRow),
    Route("GET", BUDGET, h.list_project_budgets, READ, returns=m.BudgetList),
    Route("PUT", BUDGET, h.set_project_budget, MANAGE, returns=m.BudgetPublic),
    Route("DELETE", BUDGET, h.delete_project_budget, MANAGE),
    Route("GET", "/api/usage/me", h.get_my_usage, SIGNED_IN, returns=m.MyUsage),
    Route("GET", BUDGETS, h.list_budgets, OPERATE, returns=m.BudgetList),
    Route("PUT", BUDGETS, h.set_budget, OPERATE, returns=m.BudgetPublic),
    Route("DELETE", BUDGETS, h.delete_budget, OPERATE),
    Route("GET", "/api/usage/flagged", h.list_flagged, OPERATE, returns=m.FlagPublic),
    Route("POST", "/api/usage/flagged/resolve", h.resolve_flagged, OPERATE, returns=m.LedgerRow),
    Route("POST", "/api/usage/refunds", h.refund, OPERATE, returns=m.LedgerRow),
    Route("POST", "/api/usage/check", h.run_check, OPERATE, returns=m.CheckReport, deadline_s=CHECK_S),
]
