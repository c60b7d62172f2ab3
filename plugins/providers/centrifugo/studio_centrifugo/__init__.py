"""Realtime through Centrifugo, the successor of Socket.IO."""
