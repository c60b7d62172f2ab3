"""The kinds of asset that this plugin makes."""
