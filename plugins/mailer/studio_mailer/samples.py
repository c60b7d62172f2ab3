"""Values that show every part of each template, for the preview and the tests."""

from __future__ import annotations

from typing import Any

TO = "reader@example.org"
_WHEN = 1_800_000_000_000
SAMPLES: dict[str, dict[str, Any]] = {
    "otp": {"code": "482913", "minutes": 10},
    "invitation": {
        "inviter_name": "Ana Muñoz",
        "inviter_email": "ana@example.org",
        "project": "The Last Reel",
        "role": "artist",
        "url": "/console#/invitations/sample",
        "expires_ms": _WHEN,
        "message": "We start with the storyboard on Monday.\nThe look book is in the project.",
    },
    "bug_report": {
        "reporter_name": "Ben Okafor",
        "reporter_email": "ben@example.org",
        "title": "The animatic stops at shot 12",
        "description": "1. Open the timeline\n2. Press play\n\nThe picture freezes, the <sound> goes on.",
        "report_id": "01J8Z6N0QWER",
        "url": "/console#/reports/sample",
        "issue_key": "FILM-42",
        "facts": {"Page": "/console#/projects/sample", "Browser": "Firefox 143"},
    },
    "review_link": {
        "sender_name": "",
        "sender_email": "ana@example.org",
        "project": "The Last Reel",
        "title": "Animatic, second cut",
        "url": "https://studio.example.com/review/sample",
        "expires_ms": _WHEN,
        "message": "",
    },
}
