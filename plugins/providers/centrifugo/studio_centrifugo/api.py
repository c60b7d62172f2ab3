"""What other plugins may use: `ctx.service(FrontendPublisher)`, with `requires=("centrifugo",)` in the manifest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


class FrontendProduct(StrEnum):
    """The base of every enum of front ends. It has no member, so that a plugin can extend it with its own.

    `class GuruChannels(FrontendProduct): GURU = "guru"`; the value stands for `{product}` in the pattern.
    """


class FrontendChannels(FrontendProduct):
    """The front ends that the platform itself knows."""

    MINIMATICS = "minimatics"


@dataclass(frozen=True, slots=True)
class FrontendChannel:
    """One user's channel in one front end; `user_id` without "#" and ",", which part users in a channel's name."""

    product: FrontendProduct
    user_id: str

    def __post_init__(self) -> None:
        if not self.user_id or set(self.user_id) & set("#,"):
            raise ValueError("a user id in a channel has at least one character, and no # or ,")


class FrontendPublisher(Protocol):
    """Sends to the clients of Centrifugo. Nobody waits: what is published is queued, and the oldest give way."""

    def publish(self, channel: FrontendChannel, message: Mapping[str, Any]) -> None:
        """Queue `{"topic": str, "data": …}` for a user; raises ValueError for another shape, TypeError for no JSON.

        Each call is one message, however often it has to be sent. Without Centrifugo it goes nowhere.
        """
        ...

    def broadcast(self, channels: Iterable[FrontendChannel], message: Mapping[str, Any]) -> None:
        """Queue one message for many users."""
        ...
