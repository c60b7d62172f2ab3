"""Routes of the console. All are public: the page holds nothing of anybody, its calls sign in."""

from __future__ import annotations

from studio import PUBLIC, Route
from studio_console import handlers

BASE = "/console/static"
HTML, ANY = "text/html", "application/octet-stream"

ROUTES = [
    Route("GET", "/", handlers.go_to_console, PUBLIC, produces=HTML, status=302),
    Route("GET", "/console", handlers.open_console, PUBLIC, produces=HTML),
    Route("GET", "/console/outbox", handlers.open_outbox, PUBLIC, produces=HTML, also=(404,)),
    Route("GET", "/console/outbox/{mail_id}", handlers.get_outbox_mail, PUBLIC, produces="message/rfc822"),
    Route("GET", "/console/sample", handlers.get_sample, PUBLIC, produces="text/plain"),
    Route(
        "GET", f"{BASE}/{{file_name}}", handlers.get_static, PUBLIC, produces=ANY, also=(304,), rate="none"
    ),
]
