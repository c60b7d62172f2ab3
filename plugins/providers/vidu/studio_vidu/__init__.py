"""Vidu as a provider of Studio."""
