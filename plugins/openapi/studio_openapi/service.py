"""The document of one installation."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import orjson

from studio import API_VERSION
from studio_openapi.document import build_openapi

if TYPE_CHECKING:
    from studio import Doc, PluginContext


class OpenApi:
    """Builds it from the routes that are on."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx

    def document(self) -> Doc:
        """Return it as it is now, on a platform that has started or not."""
        server = self._ctx.config.server.public_url or "/"
        return build_openapi(self._ctx.routes, title="Studio", version=API_VERSION, server=server)

    @cached_property
    def rendered(self) -> bytes:
        """The JSON, built at the first request: by then every plugin has started, or has left."""
        return orjson.dumps(self.document())
