"""A video request with all that vendors take beside the still."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING

from studio import VideoRequest

if TYPE_CHECKING:
    from studio import GenerationRequest


class ClipRequest(VideoRequest):
    """Animate `image`; a vendor that cannot use one of the other parts refuses the request before it is sent."""

    last_image: Path | None = None
    """The picture that the clip ends with; `image` is then the one that it begins with."""
    references: tuple[Path, ...] = ()
    """Pictures of what the clip shows, in the order in which the prompt names them; `image` is not sent then."""
    video: Path | None = None
    """The clip to go on from, an MP4; `duration_ms` is what is added. `image` is not sent then."""


def extras_of(request: GenerationRequest) -> frozenset[str]:
    """Return which of these parts a request has."""
    return frozenset(
        name for name in ("last_image", "references", "video") if getattr(request, name, None)
    ) if isinstance(request, ClipRequest) else frozenset()  # fmt: skip
