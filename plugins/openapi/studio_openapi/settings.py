"""The plugin's section of the configuration, `[openapi]` or `STUDIO_OPENAPI__…`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Access = Literal["public", "signed_in", "off"]


class OpenApiSettings(BaseModel):
    """Who may read the document over HTTP. `studio openapi` prints it in any case."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    access: Access = "public"
