"""A write sent again with the same `Idempotency-Key` gets the first answer and has no second effect."""
