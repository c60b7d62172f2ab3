"""One address for all of Engine.IO. The routes are public: a client shows its token inside the connection."""

from __future__ import annotations

from studio import PUBLIC, Route
from studio_socketio.handlers import speak_engineio

MEDIA = ("text/plain", "application/octet-stream")
ROUTES = [
    Route(
        method,
        "/socket.io/",
        speak_engineio,
        PUBLIC,
        deadline_s=0,
        idempotent=False,
        media=MEDIA,
        produces="text/plain",
        also=(400,),
        rate="all",
        summary="Engine.IO 4: use a Socket.IO client.",
    )
    for method in ("GET", "POST", "OPTIONS")
]
