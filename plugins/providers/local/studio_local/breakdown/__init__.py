"""Script breakdown by rules: scenes to shots."""
