"""What provider plugins cost at the start: `studio serve` to its first 200, with none of them and with all, A B A B.

User + system CPU and resident memory of the server's process, which uses an embedded database and cache that are up
before. With keys set, as an installation has that uses them all: the vendors' classes are imported at their first use.
`python bench/provider_start.py [--rounds 7]`.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import os
import statistics
import sys
import tempfile
from pathlib import Path

from cold_start import SERVE, Cost, measure_serve
from run import HERE

from studio_embedded.api import embedded_cache, embedded_database

KEYS = {
    "OPENAI_API_KEY": "sk-bench",
    "XAI_API_KEY": "xai-bench",
    "FAL_KEY": "fal-bench",
    "REPLICATE_API_TOKEN": "r8-bench",
    "VIDU_API_KEY": "vda-bench",
    "ELEVENLABS_API_KEY": "el-bench",
    "AWS_BEARER_TOKEN_BEDROCK": "bedrock-bench",
    "RESEND_API_KEY": "re-bench",
}


def vendors() -> list[str]:
    """Return the installed provider plugins but `local`, which the films need."""
    found = importlib.metadata.entry_points(group="studio.plugins")
    names = {point.name: point.dist.name for point in found if point.dist}
    return sorted(
        name for name, dist in names.items() if dist.startswith("studio-provider-") and name != "local"
    )


def show(name: str, costs: list[Cost]) -> None:
    cpu, rss = [one.cpu_ms for one in costs], [one.rss_mib for one in costs]
    print(
        f"{name:14} CPU {statistics.median(cpu):6.0f} ms ({min(cpu):.0f}-{max(cpu):.0f})"
        f"   RSS {statistics.median(rss):6.1f} MiB ({min(rss):.1f}-{max(rss):.1f})"
    )


async def main(rounds: int) -> None:
    """Measure and print."""
    names = vendors()
    with tempfile.TemporaryDirectory(prefix="studio-bench-") as place:
        folder = Path(place)
        async with embedded_database(folder / "db") as database, embedded_cache(folder / "cache") as cache:
            os.environ.update({"STUDIO_DATABASE__URL": database, "STUDIO_CACHE__URL": cache, **KEYS})
            os.environ["STUDIO_CONFIG_DIR"] = str(HERE.parent / "config")
            costs: dict[str, list[Cost]] = {",".join(names): [], "": []}
            for number in range(rounds + 1):  # the first round warms the byte code and makes the indexes
                for disabled, found in costs.items():
                    os.environ["STUDIO_PLUGINS__DISABLED"] = disabled
                    cost = await asyncio.to_thread(measure_serve, SERVE, folder)
                    found.extend([cost] if number else [])
    show("none", costs[",".join(names)])
    show(f"all {len(names)}", costs[""])
    print(f"{rounds} rounds; {', '.join(names)}; load average {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    sys.exit(asyncio.run(main(parser.parse_args().rounds)))
