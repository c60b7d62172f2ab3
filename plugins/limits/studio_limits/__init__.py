"""Rate limits of the whole platform."""
