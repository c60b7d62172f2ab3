"""Sign-in by e-mail code, sessions and tokens."""
