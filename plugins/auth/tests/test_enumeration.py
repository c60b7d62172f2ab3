"""How long known and unknown addresses take: a measurement, not for a machine that does other things meanwhile."""

from __future__ import annotations

import statistics
import time

import pytest

from studio import new_id

pytestmark = pytest.mark.peer
ROUNDS, LIMIT_MS = 200, 5.0


@pytest.mark.parametrize("step", ["request", "verify"])
async def test_known_and_unknown_addresses_take_the_same_time(server, client, capsys, step):
    spent: dict[str, list[float]] = {"known": [], "unknown": []}
    for turn in range(ROUNDS * 2):
        kind = ("known", "unknown")[turn % 2]
        email = client.user["email"] if kind == "known" else f"{new_id().lower()}@example.org"
        body = {"email": email} | ({"code": "000000"} if step == "verify" else {})
        started = time.perf_counter()
        await server.post(f"/api/auth/otp/{step}", body)
        spent[kind].append((time.perf_counter() - started) * 1000)
    known, unknown = (statistics.mean(times) for times in spent.values())
    spread = max(statistics.stdev(times) for times in spent.values())
    with capsys.disabled():
        print(f"\notp/{step}: known {known:.2f} ms, unknown {unknown:.2f} ms, deviation {spread:.2f} ms")
    assert abs(known - unknown) < LIMIT_MS
