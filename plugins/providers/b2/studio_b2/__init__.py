"""Files in Backblaze B2."""
