"""The program that signs: reads one order as JSON from stdin, answers one line of JSON, and ends.

It runs as a child process: a native library that parses files from outside has no place in the server. It imports
neither the kernel nor anything else of this house. Source: c2pa-python 0.38, Builder and Reader.
"""

from __future__ import annotations

import json
import sys
from typing import Any

SETTINGS = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}
"""The library fetches nothing that a file names, and decodes no picture."""


def limit_memory(megabytes: int) -> None:
    """Bound this process's address space, where the system lets it."""
    if sys.platform == "linux":
        import resource  # noqa: PLC0415 - does not exist on Windows

        size = megabytes * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def answer_to(order: dict[str, Any]) -> dict[str, Any]:
    """Return {"manifest": label}, {"signed_already": label}, or {"error": reason} when the library refuses."""
    import c2pa  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415 - an optional extra

    try:
        return sign(c2pa, order)
    except c2pa.C2paError as error:
        return {"error": f"{type(error).__name__}: {error}"}


def sign(c2pa: Any, order: dict[str, Any]) -> dict[str, Any]:
    """Write `file` with a signed manifest to `out`, unless it has one already."""
    context = c2pa.Context.from_dict(SETTINGS)
    if (label := _active(c2pa, context, order["file"], order["mime"])) is not None:
        return {"signed_already": label}
    info = c2pa.C2paSignerInfo(
        order["alg"].encode(), order["certificate"].encode(), order["private_key"].encode(), None
    )
    with (
        c2pa.Signer.from_info(info) as signer,
        c2pa.Builder.from_json(json.dumps(order["manifest"]), context=context) as builder,
        open(order["file"], "rb") as source,  # noqa: PTH123 - the library's own streams
        open(order["out"], "w+b") as target,  # noqa: PTH123 - as above
    ):
        builder.sign(signer, order["mime"], source, target)
    made = _active(c2pa, context, order["out"], order["mime"])
    return {"error": "the signed file has no manifest"} if made is None else {"manifest": made}


def _active(c2pa: Any, context: Any, path: str, mime: str) -> str | None:
    """Return the label of the file's own manifest, None when it has none."""
    with open(path, "rb") as file:  # noqa: PTH123 - as above
        reader = c2pa.Reader.try_create(mime, file, context=context)
        if reader is None:
            return None
        with reader:
            return str(json.loads(reader.json())["active_manifest"])


def main() -> None:
    """Answer one order; whatever else fails ends the process, and its last words go to stderr."""
    order = json.load(sys.stdin)
    limit_memory(order["memory_mb"])
    sys.stdout.write(json.dumps(answer_to(order)) + "\n")


if __name__ == "__main__":
    main()
