"""Start a foreign program that ends with the server: `launch.py <parent pid> <program> <arguments…>`.

On Linux this process becomes the program and keeps the death signal; elsewhere it stays and watches its
parent.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time


def main(parent: int, command: list[str]) -> int:
    """Run `command` and return its exit code (on Linux: never returns)."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - only Linux has prctl

        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL: survives execv
        if os.getppid() != parent:
            return 0
        os.execv(command[0], command)  # noqa: S606 - the program is the one the server found, no shell
    return _watched(parent, command)


def _watched(parent: int, command: list[str]) -> int:
    with subprocess.Popen(command) as child:  # noqa: S603 - as above
        while child.poll() is None:
            if os.getppid() != parent:
                child.kill()
            time.sleep(0.2)
        return child.returncode


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
