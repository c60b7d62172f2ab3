"""What the server writes is not for the other users of its machine: the outbox holds codes that sign in."""

from __future__ import annotations

import os
import stat

import pytest

pytestmark = [pytest.mark.child, pytest.mark.database]


@pytest.fixture
def usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_others_can_read_nothing_that_the_server_writes(installation, usual_umask):
    child = installation.start("serve")
    installation.ready(child)
    installation.sign_in("ann@studio.example")
    assert installation.end(child)[0] == 0
    written = [path for path in (installation.folder / ".studio").rglob("*") if path.suffix == ".eml"]
    assert written
    for path in [*written, *(one.parent for one in written)]:
        assert stat.S_IMODE(path.stat().st_mode) & stat.S_IRWXO == 0, path
