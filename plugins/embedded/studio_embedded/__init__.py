"""The database and the cache that Studio brings along when no URL is configured."""
