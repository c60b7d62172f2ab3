"""The job engine on Redis streams."""
