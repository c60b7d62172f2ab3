"""The boundary to code that is not the kernel's: whatever it raises is caught here, and a caller says what then.

Only a request has a catch-all of its own (`web.middleware`), because it answers the client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from studio.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

EXITS = (Exception, SystemExit)
"""For code that may call `sys.exit`: left alone that ends the event loop, and the server with it."""


class contained:  # noqa: N801 - reads as `contextlib.suppress` does
    """Let no error of the block out, in `with contained(heard):  # whose failure it is, and who goes on`.

    `heard` gets the error. What it returns is raised instead (the error itself goes on unchanged); None ends it.
    Without `heard` the error is kept in `error`. Only `kinds` are caught: by default neither a cancellation nor
    `sys.exit`, and a KeyboardInterrupt never.
    """

    __slots__ = ("_heard", "_kinds", "error")

    def __init__(
        self,
        heard: Callable[[Any], BaseException | None] | None = None,
        kinds: type[BaseException] | tuple[type[BaseException], ...] = Exception,
    ) -> None:
        self._heard, self._kinds = heard, kinds
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, self._kinds) or isinstance(error, KeyboardInterrupt):
            return False
        if self._heard is None:
            self.error = error
            return True
        told = self._heard(error)
        if told is not None and told is not error:
            raise told from error
        return told is None


def exit_refused(error: SystemExit) -> PluginError:
    """Return what a plugin's `sys.exit` becomes."""
    return PluginError(f"it called sys.exit({error.code!r})")
