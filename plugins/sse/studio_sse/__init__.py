"""Realtime events as a server-sent event stream."""
