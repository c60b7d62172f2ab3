"""Errors and ended jobs, forwarded to New Relic."""
