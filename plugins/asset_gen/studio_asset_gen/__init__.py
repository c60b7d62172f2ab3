"""Panels, voices, clips and music through any provider."""
