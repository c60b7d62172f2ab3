"""Sign-in by password, beside the one-time code."""
