"""The inside of a worker: reads tasks as JSON lines, answers each with one line, ends with its parent."""

from __future__ import annotations

import ctypes
import json
import os
import queue
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_PR_SET_PDEATHSIG = 1


class RejectedInputError(Exception):
    """The task's input is wrong; `part` names it (voice, image…)."""

    def __init__(self, message: str, part: str | None = None) -> None:
        super().__init__(message)
        self.part = part


class MissingPackageError(Exception):
    """The task needs a package that is not installed; the message says how to install it."""


def die_with_parent(parent: int) -> None:
    """Ask Linux to kill this process when its parent dies. Source: prctl(2), PR_SET_PDEATHSIG."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)


def limit_memory(megabytes: int) -> None:
    """Bound this process's address space, where the system lets it."""
    if sys.platform == "linux":
        import resource  # noqa: PLC0415 - does not exist on Windows

        size = megabytes * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def serve(handlers: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]]) -> None:
    """Answer tasks until stdin ends. Arguments of the program: the parent's pid, the memory limit in MB.

    An error that no task expects ends the process: its traceback goes to stderr, where the parent finds it.
    """
    die_with_parent(int(sys.argv[1]))
    limit_memory(int(sys.argv[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not fall between the answers
    for line in _tasks():
        task = json.loads(line)
        answers.write(json.dumps(_answer(handlers[task["task"]], task["payload"])) + "\n")
        answers.flush()


def _answer(handler: Callable[[dict[str, Any]], dict[str, Any]], payload: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"ok": handler(payload)}
    except RejectedInputError as error:
        return {"error": "rejected", "message": str(error), "input": error.part}
    except MissingPackageError as error:
        return {"error": "missing", "message": str(error)}
    except OSError as error:
        return {"error": "os", "message": str(error), "errno": error.errno}


def _tasks() -> Iterator[str]:
    """Yield lines of stdin; its end ends the process at once, even in the middle of a task."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    return iter(lines.get, "")


def _read(lines: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)
