"""Money: an append-only ledger, budgets that refuse, and the equality of both."""
