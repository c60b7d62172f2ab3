"""Webhooks of Studio: vendors' calls to us, and ours to others."""
