"""What providers share whose answers come with the call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import ProviderRejectedError

if TYPE_CHECKING:
    from studio import Generation


class AtOnce:
    """Nothing is kept at the vendor: there is nothing to ask for later, and nothing to stop."""

    async def poll(self, provider_job_id: str) -> Generation:
        """Refuse: what `submit` answered is all there is."""
        raise ProviderRejectedError(f"{provider_job_id[:40]!r} came at once: there is nothing to ask for.")

    async def cancel(self, provider_job_id: str) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return False: what came at once cannot be stopped."""
        return False
