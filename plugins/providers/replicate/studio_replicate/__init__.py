"""Replicate as a provider of Studio."""
