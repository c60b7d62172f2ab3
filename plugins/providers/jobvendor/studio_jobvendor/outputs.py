"""Which files of a result are taken: those that lie where the operator says, and are of the right kind."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from studio_jobvendor.settings import JobVendorSettings

MEDIA = {"image": "image/", "image_edit": "image/", "video": "video/", "music": "audio/"}
"""What the media type of a capability's files begins with."""


class Places:
    """Where the results of a vendor may lie."""

    def __init__(self, settings: JobVendorSettings) -> None:
        self._hosts, self._plain = settings.output_hosts, settings.private_hosts

    def allows(self, url: str) -> bool:
        """Return whether an address may be fetched: HTTPS, at a host that is named or below one, without a password."""
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").rstrip(".")
        except ValueError:
            return False
        if parts.username is not None or parts.password is not None:
            return False
        ours = any(host == allowed or host.endswith(f".{allowed}") for allowed in self._hosts)
        return (parts.scheme == "https" and ours) or (parts.scheme == "http" and host in self._plain)


def plain_mime(mime: str) -> str:
    """Return the usual name of a media type: some systems still know WAV by the older one."""
    return {"audio/x-wav": "audio/wav"}.get(mime, mime)
