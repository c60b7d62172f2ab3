"""Capabilities and who offers them."""
