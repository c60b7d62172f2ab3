"""Pictures from outside, read with care: three formats, fifty million pixels, in a worker of little memory."""

from __future__ import annotations

import struct
import warnings
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

from studio_local.children.serve import RejectedInputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 50_000_000
ORIENTATION = 274
"""The tag that says how the camera was held, 1 to 8. Source: EXIF 2.32, tag 274."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BROKEN = (UnidentifiedImageError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Yield the picture, not yet decoded; raises RejectedInputError for what it is not, then or inside."""
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                yield image
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        message = f"The image has more than {MAX_PIXELS // 1_000_000} million pixels: scale it down."
        raise RejectedInputError(message, "image") from error
    except MemoryError as error:
        raise RejectedInputError(
            "The image needs more memory than local.child_memory_mb.", "image"
        ) from error
    except _BROKEN as error:
        raise RejectedInputError(
            f"This is no JPEG, PNG or WebP that can be read: {error}", "image"
        ) from error
    except OSError as error:
        if error.errno is not None:  # the disk's own trouble
            raise
        raise RejectedInputError(f"The image is damaged: {error}", "image") from error


def upright(image: Image.Image) -> Image.Image:
    """Return the decoded picture in RGB, turned as its camera was held."""
    return turned(image).convert("RGB")


def turned(image: Image.Image) -> Image.Image:
    """Return the picture turned as its camera was held.

    `ImageOps.exif_transpose` also writes the EXIF data again, and raises whatever their types make of that.
    """
    orientation = image.getexif().get(ORIENTATION)
    method = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)
