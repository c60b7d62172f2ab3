"""Every test loop is the session's: one server serves them all."""
