"""Realtime events over Socket.IO."""
