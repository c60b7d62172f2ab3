"""The two child processes of `cold_start.py`; standard library only, so that it adds nothing to them.

`cold_child.py serve OUT <module> [arguments]` is `python -m <module> [arguments]` that also writes its loaded
third-party modules to OUT, one a line in load order, as soon as a file OUT.go exists.
`cold_child.py import LIST` imports the modules of such a list, prints how many could not be imported by name,
and stays until its input closes.
"""

from __future__ import annotations

import importlib
import sys

OURS = ("studio", "cold_child", "_virtualenv")


def is_foreign(name: str) -> bool:
    top = name.partition(".")[0]
    return not (top in sys.stdlib_module_names or top in OURS or top.startswith(("studio_", "__")))


def dump_modules(out: str) -> None:
    import pathlib  # noqa: PLC0415 - only the unmeasured start pays for it
    import time  # noqa: PLC0415 - see above

    path = pathlib.Path(out)
    while not path.with_suffix(".go").exists():
        time.sleep(0.02)
    path.with_suffix(".part").write_text("\n".join(name for name in list(sys.modules) if is_foreign(name)))
    path.with_suffix(".part").rename(path)


def serve(out: str, command: list[str]) -> None:
    import runpy  # noqa: PLC0415 - the importing side must not pay for it
    import threading  # noqa: PLC0415 - see above

    threading.Thread(target=dump_modules, args=(out,), daemon=True).start()
    sys.argv, sys.path[0] = command, ""
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)


def import_all(path: str) -> None:
    failed = 0
    with open(path) as lines:  # noqa: PTH123 - pathlib would be loaded for this line only
        names = lines.read().split()
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            failed += 1
    print(failed, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], sys.argv[3:])
    else:
        import_all(sys.argv[2])
