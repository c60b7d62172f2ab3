"""Sign-in by OpenID Connect, beside the one-time code."""
