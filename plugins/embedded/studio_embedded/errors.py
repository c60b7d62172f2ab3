"""What can go wrong with the embedded servers.

PluginError
└── EmbeddedServerError            a server did not start, or does not answer
    ├── FolderInUseError           another process owns the server of this folder
    ├── PortTakenError             somebody was faster
    └── WrongCredentialsError      the server runs and refuses our password
"""

from __future__ import annotations

from studio import PluginError


class EmbeddedServerError(PluginError):
    """An embedded server cannot be started or used; the message says what to do."""


class FolderInUseError(EmbeddedServerError):
    """Another living process owns the server of this folder; its process id is in the message."""


class WrongCredentialsError(EmbeddedServerError):
    """The server answered and refused the stored credentials."""


class PortTakenError(EmbeddedServerError):
    """Somebody took the port between our look and the server's start."""
