"""Start, stop, orphans and everything that can be wrong with the folder. On the cache: it starts in 50 ms."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys

import pytest

from studio_embedded import servers
from studio_embedded.api import EmbeddedCache, EmbeddedDatabase
from studio_embedded.errors import EmbeddedServerError, FolderInUseError
from studio_embedded.folder import DataFolder
from studio_embedded.process import Child, process_identity, spawn

pytestmark = pytest.mark.child


def gone(pid):
    return process_identity(pid) is None


async def test_stop_leaves_no_process_and_frees_the_folder(tmp_path):
    server = EmbeddedCache(tmp_path)
    await server.start()
    pid = server._child.pid
    await server.stop()
    await server.stop()
    assert gone(pid)
    assert not DataFolder(tmp_path).locked("cache")
    with pytest.raises(ChildProcessError):  # reaped: no zombie is left to wait for
        os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - WNOHANG does not block


async def test_cancelled_start_leaves_nothing(tmp_path, until):
    server = EmbeddedDatabase(tmp_path)
    start = asyncio.create_task(server.start())
    await until(lambda: server._child is not None)
    pid = server._child.pid
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert gone(pid)
    assert not DataFolder(tmp_path).locked("database")


async def test_orphans_of_a_killed_parent_are_adopted(orphaned):
    left = orphaned.both
    database_pid = DataFolder(left.path).read_state("database")["pid"]
    for server, pid in ((EmbeddedCache(left.path), left.pid), (EmbeddedDatabase(left.path), database_pid)):
        async with server:
            assert server.adopted
            assert server._child.pid == pid
            assert DataFolder(left.path).read_state(server.name)["parent_pid"] == os.getpid()
            await server.ping()
        assert gone(pid)


async def test_wrappers_of_the_servers_are_never_imported(orphaned):
    assert orphaned.imported == "[]\n"


async def test_adopted_server_is_restarted_when_it_dies(orphaned, redis, until, kill):
    server = EmbeddedCache(orphaned.dies.path)
    async with server as url:
        async with redis(url) as client:
            await client.set("a", "1")
        kill(server)
        await until(lambda: server.restarts == 1 and server.health())
        assert gone(orphaned.dies.pid)
        async with redis(url) as client:
            assert await client.get("a") == b"1"


async def test_orphan_that_refuses_our_password_is_stopped_and_replaced(orphaned):
    left = orphaned.refuses
    DataFolder(left.path).write_credentials("cache", {"user": "studio", "password": "another"})
    server = EmbeddedCache(left.path)
    async with server:
        assert gone(left.pid)
        assert not server.adopted
        await server.ping()


async def test_orphan_is_found_when_the_state_is_corrupt(orphaned):
    left = orphaned.corrupt
    state = left.path / "embedded.json"
    state.write_text('{"cache": {"pid"')
    async with EmbeddedCache(left.path):
        assert gone(left.pid)
    assert state.with_suffix(".json.corrupt").read_text() == '{"cache": {"pid"'
    assert json.loads(state.read_text())["cache"]["pid"] is None


@pytest.mark.parametrize(
    "state", ["", "[]", '{"cache": 7}', '{"cache": {"pid": "x", "port": "y"}}', "\x00\xff"]
)
async def test_server_starts_with_any_state(tmp_path, state, redis):
    (tmp_path / "embedded.json").write_text(state, encoding="latin-1")
    async with EmbeddedCache(tmp_path) as url, redis(url) as client:
        assert await client.ping()


async def test_stranger_with_the_remembered_process_id_is_left_alone(tmp_path):
    with (tmp_path / "log").open("wb") as output:
        stranger = spawn([sys.executable, "-c", "__import__('time').sleep(60)"], output, tmp_path)
    DataFolder(tmp_path).prepare()
    DataFolder(tmp_path).write_state(
        "cache", {"pid": stranger.pid, "started": "of another life", "port": 20_001}
    )
    try:
        server = EmbeddedCache(tmp_path)
        async with server:
            assert server._child.pid != stranger.pid
        assert stranger.alive()
    finally:
        stranger.signal(signal.SIGKILL)
        await stranger.ended()


async def test_remembered_port_that_is_taken_is_left(tmp_path, redis):
    first = EmbeddedCache(tmp_path)
    async with first:
        port = first._port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        async with EmbeddedCache(tmp_path) as url, redis(url) as client:
            assert f":{port}/" not in url
            assert await client.ping()


async def test_port_taken_between_look_and_start_is_tried_again(tmp_path, monkeypatch, redis):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ports = iter([other.getsockname()[1]])
        choose = servers.choose_port
        monkeypatch.setattr(
            servers, "choose_port", lambda remembered: next(ports, None) or choose(remembered)
        )
        async with EmbeddedCache(tmp_path) as url, redis(url) as client:
            assert await client.ping()


async def test_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedServerError, match=r"file/data cannot be written .*STUDIO_EMBEDDED__DATA_DIR"):
        await EmbeddedCache(tmp_path / "file" / "data").start()


async def test_server_that_ends_at_once_shows_its_log(tmp_path):
    with pytest.raises(EmbeddedServerError, match=r"ended at once.*database\.log[\s\S]*cache_size"):
        await EmbeddedDatabase(tmp_path, cache_size="plenty").start()
    assert not DataFolder(tmp_path).locked("database")


async def test_start_that_takes_too_long_is_ended(tmp_path):
    server = EmbeddedDatabase(tmp_path, start_deadline_s=0.05)
    with pytest.raises(EmbeddedServerError, match=r"did not answer within 0\.05 s"):
        await server.start()
    assert server._child is None
    assert not server._running()


async def test_process_that_ignores_sigterm_is_killed(tmp_path, until):
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('on', flush=True); time.sleep(60)"
    )
    log = tmp_path / "log"
    with log.open("wb") as output:
        child = spawn([sys.executable, "-c", stubborn], output, tmp_path)
    await until(lambda: log.read_text() == "on\n")
    await servers.terminate(child, None, deadline_s=0.1)
    assert child.popen.returncode == -signal.SIGKILL


async def test_server_that_cannot_restart_is_reported_and_tried_until_it_can(
    tmp_path, monkeypatch, redis, until, kill
):
    monkeypatch.setattr(servers, "RESTART_DELAYS_S", (0.0, 0.05))
    server = EmbeddedCache(tmp_path)
    async with server as url:
        with monkeypatch.context() as broken:
            broken.setattr(server, "locate", lambda: [sys.executable, "-c", "exit('broken')"])
            kill(server)
            await until(lambda: server.restarts >= 2)
            with pytest.raises(EmbeddedServerError, match=r"is down, \d+ restarts so far.*ended at once"):
                server.health()
        await until(lambda: server._child.alive() and server._problem == "")
        async with redis(url) as client:
            assert await client.ping()


async def test_stop_during_failing_restarts_ends_them(tmp_path, monkeypatch, until, kill):
    server = EmbeddedCache(tmp_path)
    await server.start()
    monkeypatch.setattr(server, "locate", lambda: [sys.executable, "-c", "exit('broken')"])
    kill(server)
    await until(lambda: server.restarts >= 1)
    await server.stop()
    assert server._child is None
    assert not DataFolder(tmp_path).locked("cache")


async def test_orphan_is_stopped_by_command_unless_it_has_an_owner(orphaned):
    left = orphaned.command
    assert EmbeddedCache(left.path).status().running
    assert await EmbeddedCache(left.path).stop_orphan()
    assert gone(left.pid)
    assert not await EmbeddedCache(left.path).stop_orphan()
    async with EmbeddedCache(left.path):
        with pytest.raises(FolderInUseError):
            await EmbeddedCache(left.path).stop_orphan()


def test_log_that_grew_large_is_kept_once(tmp_path):
    folder = DataFolder(tmp_path)
    folder.prepare()
    (folder.logs / "cache.log").write_bytes(b"x" * 5_000_001)
    os.close(folder.open_log("cache"))
    assert (folder.logs / "cache.log").stat().st_size == 0
    assert (folder.logs / "cache.log.1").stat().st_size == 5_000_001


def test_identity_of_a_process_that_is_gone_is_none():
    assert process_identity(os.getpid()) == process_identity(os.getpid())
    assert process_identity(2**22 + 1) is None
    assert not Child(os.getpid(), "of another life").alive()
