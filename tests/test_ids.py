"""Ids rise, in every thread; a forked process draws its own, and never waits for a lock that nobody frees."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from studio import new_id

USERS, EACH = 4, 2_000
FORKED = """
import os, signal, threading
from studio import model

model.new_id()
taken, free = threading.Event(), threading.Event()

def hold():
    with model._lock:
        taken.set()
        free.wait()

threading.Thread(target=hold).start()
taken.wait()
threading.Timer(0.1, free.set).start()
child = os.fork()
if not child:
    signal.alarm(5)
os.write(1, f"{model.new_id()}\\n".encode())
if not child:
    os._exit(0)
raise SystemExit(os.waitpid(child, 0)[1])
"""
RANDOM = slice(10, None)
"""The part of an id that is not its time."""


@pytest.mark.pure
def test_ids_rise_in_every_thread_and_none_comes_twice():
    with ThreadPoolExecutor(USERS) as users:
        drawn = list(users.map(lambda _: [new_id() for _ in range(EACH)], range(USERS)))
    assert all(ids == sorted(ids) for ids in drawn)
    assert len({one for ids in drawn for one in ids}) == USERS * EACH


@pytest.mark.child
def test_fork_while_a_thread_draws_an_id_waits_for_it_and_then_draws_its_own():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ids = done.stdout.split()
    assert (done.returncode, len(ids)) == (0, 2), done.stderr
    assert ids[0][RANDOM] != ids[1][RANDOM]
