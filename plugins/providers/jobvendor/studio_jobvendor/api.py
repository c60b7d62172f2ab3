"""All that other plugins may use of this library."""

from __future__ import annotations

from studio_jobvendor.declaring import declared, estimate_of, specs_of
from studio_jobvendor.delivery import UNREADABLE, mime_of, sent_or_put
from studio_jobvendor.inputs import Inputs, ratio_of, seconds_of
from studio_jobvendor.outputs import MEDIA, Places, plain_mime
from studio_jobvendor.prompts import with_movement
from studio_jobvendor.requests import ClipRequest, extras_of
from studio_jobvendor.settings import (
    LOOPBACK,
    Host,
    HostedModel,
    HostedSettings,
    JobVendorSettings,
    Name,
    Origin,
)

__all__ = [
    "LOOPBACK",
    "MEDIA",
    "UNREADABLE",
    "ClipRequest",
    "Host",
    "HostedModel",
    "HostedSettings",
    "Inputs",
    "JobVendorSettings",
    "Name",
    "Origin",
    "Places",
    "declared",
    "estimate_of",
    "extras_of",
    "mime_of",
    "plain_mime",
    "ratio_of",
    "seconds_of",
    "sent_or_put",
    "specs_of",
    "with_movement",
]
