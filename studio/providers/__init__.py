"""Capabilities and who offers them."""

from __future__ import annotations

from studio.providers.contract import *  # noqa: F403 - the contract is this package's public face, listed there
from studio.providers.registry import Providers as Providers
from studio.providers.requests import *  # noqa: F403 - as above
from studio.providers.services import *  # noqa: F403 - as above
from studio.providers.wrapper import BoundProvider as BoundProvider
