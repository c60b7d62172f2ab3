"""The weather over a project."""
