"""What goes in and out."""

from __future__ import annotations

from typing import Literal

from studio import Model

Kind = Literal["clear", "rain", "wind", "storm"]


class WeatherUpdate(Model):
    """The weather that a project shall have."""

    kind: Kind


class WeatherPublic(Model):
    """The weather over a project; nobody has set it while `set_by` is null."""

    kind: Kind
    set_by: str | None = None
