"""The capability "thumbnail", which this plugin asks for and any provider may offer.

Declare `ProviderSpec("…", "thumbnail", "package.module:Class")`. The class is a `Generator`: its `submit` takes a
`ThumbnailRequest` and answers with one picture in `files` (`width` and `height` set) and with what `ThumbnailData`
reads in `data`. A file that cannot be read is a `ProviderRejectedError`.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from studio import GenerationRequest, ProviderModel

CAPABILITY = "thumbnail"
Pixels = Annotated[int, Field(ge=1, le=100_000)]
Blurhash = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z#$%*+,\-.:;=?@\[\]^_{|}~]{6,166}$")]
"""83 letters, 6 for one component to 166 for nine by nine. Source: the algorithm's description at woltapp/blurhash."""


class ThumbnailRequest(GenerationRequest):
    """Make a small picture of `file`, a picture or a video: no side longer than `long_side`, never enlarged."""

    file: Path
    mime: str
    long_side: Annotated[int, Field(ge=16, le=4096)] = 480
    format: Literal["jpeg", "webp"] = "jpeg"
    at_ms: Annotated[int, Field(ge=0)] = 0
    """Which frame of a video; past its end it is refused."""


class ThumbnailData(ProviderModel):
    """What `Generation.data` of a thumbnail says: the blurhash, and the size of the file itself, turned upright."""

    blurhash: Blurhash
    width: Pixels
    height: Pixels
