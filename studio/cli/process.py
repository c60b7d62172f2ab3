"""One running process: its signals, its socket, and what the operator reads when it cannot start."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import socket
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from aiohttp import web

from studio.app import Studio, running
from studio.cli.connections import DRAIN_S, close_silent, drain, limit_connections, stop_listening
from studio.cli.inspect import warnings_of
from studio.cli.recovery import GOOD_AFTER_S, Starts
from studio.errors import ConfigError, DatabaseUnavailableError, PluginError, StudioError
from studio.plugins.loader import PluginStartError
from studio.telemetry import get_logger
from studio.web.proxies import is_ours

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from studio.settings import ServerSettings

    Work = Callable[[asyncio.Event], Awaitable[None]]

OTHER_FILES = 500
UNSENT = 131_072
"""Bytes of a connection that the system takes before they can be sent: else a client that reads nothing has up to
4 MB (measured on Linux) before its queue, by which it is cut, begins to grow."""
EX_UNAVAILABLE = 69
"""Something that Studio needs is not there. Source: sysexits.h."""
_NO_ADDRESS = "server.host (STUDIO_SERVER__HOST) must be an address of this machine; 0.0.0.0 stands for all"
_ADVICE = {
    errno.EADDRINUSE: "Stop what uses it, or choose another port: studio serve --port {port}",
    errno.EACCES: "This user may not have that port; one above 1023 needs no right: studio serve --port 8081",
    errno.EADDRNOTAVAIL: _NO_ADDRESS,
}
log = get_logger("studio.process")


def run_server() -> None:
    """Serve until a signal; after three failed starts in recovery mode."""
    _keep_from_others()
    starts = Starts.configured()
    recovery = starts.recovery()
    starts.begin()
    try:
        if recovery:
            sys.stderr.write(f"studio: {recovery}\n")
        studio = Studio(recovery=recovery, note=starts.note)
        _warn(studio)
        run(studio, partial(serve, starts=starts))
    except (ConfigError, KeyboardInterrupt, SystemExit):  # `_end`: what is in the way is no plugin
        starts.forget()
        raise
    except PluginStartError as error:
        starts.note(str(error))
        raise


def run_worker(concurrency: int | None) -> None:
    """Work on jobs until a signal, beside a server."""
    _keep_from_others()
    chosen = {"STUDIO_JOBS__CONCURRENCY": str(concurrency)} if concurrency is not None else {}
    studio = Studio(environ=os.environ | {"STUDIO_JOBS__WORKER": "true"} | chosen, beside=True)
    _warn(studio)
    run(studio, work)


def _keep_from_others() -> None:
    """Let no other user of this machine read what is written: mails with codes, scripts, films. A group may."""
    os.umask(os.umask(0o077) | 0o007)


def ask(question: Callable[[Studio], Awaitable[Any]], *, whole: bool) -> Any:
    """Return the answer of a connected, or a `whole` started, platform that neither listens nor works."""
    quiet = {"STUDIO_LOGGING__LEVEL": "error"} | os.environ | {"STUDIO_JOBS__WORKER": "false"}
    studio = Studio(environ=quiet, beside=True)

    async def answer(studio: Studio) -> Any:
        try:
            await (studio.start() if whole else studio.connect())
            return await question(studio)
        finally:
            await studio.stop()

    return run(studio, answer)


def _warn(studio: Studio) -> None:
    for warning in warnings_of(studio):
        sys.stderr.write(f"studio: warning: {warning}\n")


def run(studio: Studio, work: Callable[[Studio], Coroutine[Any, Any, Any]]) -> Any:
    """Run `work` to its end; what cannot be done ends with one message and an exit code."""
    try:
        return run_loop(work(studio))
    except StudioError as error:
        if type(error) not in (StudioError, DatabaseUnavailableError):
            _end(error.detail, 1)  # the answer to `ask`
        _end(_no_database(studio, error), EX_UNAVAILABLE)
    except PluginError as error:
        _end(str(error), EX_UNAVAILABLE)
    except OSError as error:
        if error.errno not in _ADVICE and not isinstance(error, socket.gaierror):
            raise
        _end(_no_port(studio, error), 1)


def run_loop(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on the fastest loop that this platform has, and return its result."""
    if sys.platform == "win32":
        return asyncio.run(work)
    import uvloop  # noqa: PLC0415 - not on every platform

    return uvloop.run(work)


def _end(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"studio: {message}\n")
    raise SystemExit(code) from None


def _no_database(studio: Studio, error: StudioError) -> str:
    url = studio.settings.database.url
    reason = str(error.__cause__ or error).partition(" (configured timeouts")[0].partition(", full error")[0]
    if url is None:
        return f"the embedded database cannot be used: {reason}"
    where = url.get_secret_value().rpartition("://")[2].rpartition("@")[2].partition("/")[0]
    return (
        f"the database at {where} cannot be used: {reason}\n"
        "Start it, or correct database.url (STUDIO_DATABASE__URL, MONGODB_URL)"
    )


def _no_port(studio: Studio, error: OSError) -> str:
    server = studio.settings.server
    advice = _ADVICE.get(error.errno or 0, _NO_ADDRESS).format(port=server.port % 65535 + 1)
    return f"cannot listen on {server.host}:{server.port}: {error.strerror}.\n{advice}"


async def serve(studio: Studio, starts: Starts) -> None:
    """Listen until SIGTERM or SIGINT; raises OSError when the port is taken."""
    with _bind(studio.settings.server.host, studio.settings.server.port) as listener:
        await _until_signal(studio, partial(_listen, studio, listener), starts)


async def work(studio: Studio) -> None:
    """Work on jobs until SIGTERM or SIGINT, without listening."""

    async def wait(stop: asyncio.Event) -> None:
        log.info("worker_ready", concurrency=studio.settings.jobs.concurrency, pid=os.getpid())
        await stop.wait()

    await _until_signal(studio, wait)


async def _until_signal(studio: Studio, work: Work, starts: Starts | None = None) -> None:
    """Start, run `work`, stop. A signal sets the event that `work` waits for; before that it cuts the start."""
    loop, stop, task, started = asyncio.get_running_loop(), asyncio.Event(), asyncio.current_task(), False

    def begin_stop(number: int) -> None:
        _force_later(studio.settings.server.shutdown_s)
        stop.set()
        if starts and started:
            starts.good()
        elif starts and number != signal.SIGTERM:  # a person left; SIGTERM ends what never got ready
            starts.forget()
        if task and not started:
            task.cancel()

    for number in _stop_signals():
        loop.add_signal_handler(number, begin_stop, number)
    try:
        async with running(studio):
            started = True
            gc.freeze()  # what is there stays, and need not be looked through again and again
            gc.enable()
            if starts and studio.recovery is None:
                loop.call_later(GOOD_AFTER_S, starts.good)
            await work(stop)
    except asyncio.CancelledError:
        if started or not stop.is_set():
            raise


def _stop_signals() -> list[signal.Signals]:
    """Return what asks for a stop; a terminal that closes does (SIGHUP), but not where `nohup` had it ignored."""
    if sys.platform == "win32" or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return [signal.SIGTERM, signal.SIGINT]
    return [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


async def _listen(studio: Studio, listener: socket.socket, stop: asyncio.Event) -> None:
    limit_s = studio.settings.server.shutdown_s
    runner = web.AppRunner(studio.app, access_log=None, handle_signals=False, shutdown_timeout=limit_s / 4)
    await runner.setup()
    assert runner.server  # noqa: S101 - setup() has made it
    _limit(runner.server, studio.settings.server)
    site = web.SockSite(runner, listener, backlog=1024)
    await site.start()
    sweeper = asyncio.create_task(close_silent(runner.server))
    host, port = listener.getsockname()[:2]
    timings = {phase: round(ms) for phase, ms in studio.timings.items()}
    log.info("ready", address=f"http://{host}:{port}", **timings)
    await stop.wait()
    studio.ready = False
    await drain(runner.server, min(DRAIN_S, limit_s / 8))
    await stop_listening(site, listener, runner.server)
    await studio.services.realtime.stop()  # open streams would hold the clean-up
    sweeper.cancel()
    await runner.cleanup()


def _limit(server: web.Server, settings: ServerSettings) -> None:
    """Limit the connections, and ask the system for as many files as that takes."""
    exempt = partial(is_ours, proxies=settings.trusted_proxies)
    limit_connections(server, settings.connections, settings.connections_per_address, exempt)
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - not on every platform

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = settings.connections + OTHER_FILES
        if soft not in (resource.RLIM_INFINITY, hard) and soft < wanted:
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # every connection gets it from here
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def _force_later(limit_s: float) -> None:
    """Make sure of the stop: a plugin's thread or exit handler cannot hold the process."""

    def force() -> None:
        sys.stderr.write(f"studio: still not stopped after {limit_s:g} s, ending now\n")
        os._exit(0)

    timer = threading.Timer(limit_s, force)
    timer.daemon = True
    timer.start()
