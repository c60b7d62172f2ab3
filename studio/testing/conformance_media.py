"""The request of each capability, for vendors that make pictures, edits, videos and music all alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from studio.providers.requests import ImageEditRequest, ImageRequest, MusicRequest, VideoRequest
from studio.testing.providers import ProviderCase

if TYPE_CHECKING:
    from pathlib import Path

    from studio.providers.requests import GenerationRequest
    from studio.testing.providers import Outcome


class MediaCase(ProviderCase):
    """A case whose capabilities differ by their request and by how the names of their files end."""

    ending: ClassVar[str]
    """".png", ".mp4": what the vendor's files are called."""

    def __init__(self, fakes: Any) -> None:
        self.fakes = fakes

    def still(self) -> Path:
        """Return a picture, by its first bytes at least."""
        path = self.folder / "still.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
        return path

    def request(self, outcome: Outcome) -> GenerationRequest:  # noqa: ARG002 - the vendor's fake decides it
        """Return a small request of the capability."""
        if self.capability == "image":
            return ImageRequest(job_id="-", prompt="A lighthouse in rain")
        if self.capability == "image_edit":
            return ImageEditRequest(job_id="-", operation="variation", image=self.still(), prompt="At night")
        if self.capability == "video":
            return VideoRequest(job_id="-", image=self.still(), duration_ms=3000, prompt="The lamp turns")
        return MusicRequest(job_id="-", duration_ms=3000, mood="tense")
