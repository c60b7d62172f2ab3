"""The activity feed and its labels."""
