"""The one route, unless the document is off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import PUBLIC, SIGNED_IN, Route
from studio_openapi.handlers import get_openapi
from studio_openapi.models import OpenApiDocument

if TYPE_CHECKING:
    from studio_openapi.settings import Access

PERMISSIONS = {"public": PUBLIC, "signed_in": SIGNED_IN}


def routes_for(access: Access) -> list[Route]:
    """Return the route with the permission that `access` means, none for "off"."""
    if access == "off":
        return []
    return [Route("GET", "/api/openapi.json", get_openapi, PERMISSIONS[access], returns=OpenApiDocument)]
