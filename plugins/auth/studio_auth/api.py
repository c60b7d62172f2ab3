"""What other plugins may use: `sign_ins = ctx.service(SignIns)`, with `requires=("auth",)` in the manifest.

A plugin that knows another way to tell who somebody is (a password, another house's sign-in) ends with
`tokens_answer(request, await sign_ins.sign_in(email, device, ip), cookie=body.cookie)`. From there on the session is
like any other: the owner of `authenticate` reads its tokens, lists it and ends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from studio_auth.answers import tokens_answer
from studio_auth.keys import refuse_keys
from studio_auth.models import TokenPair

if TYPE_CHECKING:
    from studio import Actor, Doc

__all__ = ["Codes", "SignIns", "TokenPair", "refuse_keys", "tokens_answer"]


class SignIns(Protocol):
    """Opens and ends sessions."""

    async def sign_in(self, email: str, device: str, ip: str) -> Doc:
        """Open a session for the owner of `email` (lower case, and proved to be the caller's).

        The account is made at the first sign-in. Raises UnauthenticatedError for a suspended one. Returns what
        `tokens_answer` takes.
        """
        ...

    async def user(self, user_id: str) -> Doc | None:
        """Return an active user."""
        ...

    async def user_by_email(self, email: str) -> Doc | None:
        """Return the active user with this address, whatever its case."""
        ...

    async def end_others(self, actor: Actor) -> None:
        """End all sessions of the actor but the one that calls, and their open sockets."""
        ...


class Codes(Protocol):
    """One-time codes by mail."""

    async def verify_otp(self, email: str, code: str) -> None:
        """Use up the newest code sent to `email`; raises UnauthenticatedError."""
        ...
