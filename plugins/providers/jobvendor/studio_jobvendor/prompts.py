"""What is said in words to vendors that know no field for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studio import VideoRequest

_MOVEMENTS = {
    "static": "The camera does not move.",
    "push_in": "The camera slowly pushes in.",
    "pull_out": "The camera slowly pulls out.",
    "pan_left": "The camera pans to the left.",
    "pan_right": "The camera pans to the right.",
    "tilt_up": "The camera tilts up.",
    "tilt_down": "The camera tilts down.",
}


def with_movement(request: VideoRequest) -> str:
    """Return the prompt of a video and how the camera moves."""
    return " ".join(filter(None, (request.prompt.strip(), _MOVEMENTS.get(request.movement, ""))))
