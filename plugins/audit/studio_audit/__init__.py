"""Who changed what that decides over access."""
