"""Plugins: discovered by entry point, chosen before import, isolated in every phase, started in order."""
