"""A server of one's own for the length of a command, and the client that talks to it."""

from __future__ import annotations

import asyncio
import ctypes
import email
import email.policy
import os
import re
import signal
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

START_S, STOP_S = 60.0, 12.0
LOG = Path(".studio/logs/demo-server.log")
_CODE = re.compile(r"\b\d{6,10}\b")


class DemoError(Exception):
    """The command cannot go on; the message says why and what to do."""


@asynccontextmanager
async def own_server() -> AsyncIterator[str]:
    """Start `studio serve` on a free port and yield its address; it is stopped at the end."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("wb") as log:  # noqa: ASYNC230 - once, before anything else runs
        environ = os.environ | {"STUDIO_SERVER__PORT": str(port), "STUDIO_AUTH__OTP_INTERVAL_S": "0"}
        command = (sys.executable, "-m", "studio", "serve")
        process = await asyncio.create_subprocess_exec(
            *command, stdout=log, stderr=log, env=environ, preexec_fn=_end_with_parent,
            start_new_session=True,  # Ctrl-C is for the command, which stops the server when it is done with it
        )  # fmt: skip
    try:
        await _ready(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        await _stop(process)


def _end_with_parent() -> None:
    """Ask Linux to stop this process when the command is killed. Source: prctl(2), PR_SET_PDEATHSIG.

    A server that nobody knows of would keep the folder's database and refuse the next command.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


async def _ready(base: str, process: asyncio.subprocess.Process) -> None:
    async with ClientSession(timeout=ClientTimeout(5)) as session:
        try:
            async with asyncio.timeout(START_S):
                while process.returncode is None:
                    try:
                        async with session.get(f"{base}/readyz") as answer:
                            if answer.status == 200:  # noqa: PLR2004 - OK
                                return
                    except ClientError:
                        pass
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise DemoError(f"The server was not ready within {START_S:.0f} s.\n{_last_words()}") from None
    raise DemoError(f"The server ended with exit code {process.returncode}.\n{_last_words()}")


def _last_words() -> str:
    lines = LOG.read_text(errors="replace").splitlines()[-12:]
    return "\n".join([f"The end of {LOG}:", *("  " + line[:300] for line in lines)])


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), STOP_S)
    except TimeoutError:
        process.kill()
        await process.wait()


class Api:
    """REST and server-sent events, signed in as one user."""

    def __init__(self, session: ClientSession, base: str) -> None:
        self._session, self.base = session, base
        self._headers: dict[str, str] = {}

    async def call(
        self, method: str, path: str, json: Any = None, data: bytes | None = None, **query: str
    ) -> Any:
        """Return the JSON of an answer; raises DemoError with the problem's own words."""
        headers = self._headers | ({"Content-Type": "application/octet-stream"} if data is not None else {})
        url = self.base + path
        async with self._session.request(
            method, url, json=json, data=data, params=query, headers=headers
        ) as answer:
            body = await answer.read()
        if answer.status >= 400:  # noqa: PLR2004 - the first error status
            raise DemoError(_problem(answer.status, body))
        return orjson.loads(body) if body else None

    async def download(self, path: str, target: Path, **query: str) -> None:
        """Write an answer to a file, whole or not at all."""
        async with self._session.get(self.base + path, params=query, headers=self._headers) as answer:
            if answer.status >= 400:  # noqa: PLR2004 - the first error status
                raise DemoError(_problem(answer.status, await answer.read()))
            part = target.with_name(target.name + ".part")
            with part.open("wb") as file:
                async for chunk in answer.content.iter_chunked(1 << 20):
                    file.write(chunk)
            part.replace(target)

    async def sign_in(self, address: str) -> None:
        """Sign in with a one-time code from the local outbox."""
        await self.call("POST", "/api/auth/otp/request", {"email": address})
        pair = await self.call("POST", "/api/auth/otp/verify", {"email": address, "code": _code_for(address)})
        self._headers = {"Authorization": f"Bearer {pair['accessToken']}"}

    async def events(self, project_id: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Yield (event, data) of a project as they happen, for ever; REST stays the truth."""
        timeout = ClientTimeout(total=None, sock_read=60)
        while True:
            try:
                async with self._session.get(
                    f"{self.base}/api/events",
                    params={"project": project_id},
                    headers=self._headers,
                    timeout=timeout,
                ) as answer:
                    answer.raise_for_status()
                    name = ""
                    async for line in answer.content:
                        text = line.decode().rstrip("\n")
                        if text.startswith("event: "):
                            name = text.removeprefix("event: ")
                        elif text.startswith("data: "):
                            yield name, orjson.loads(text.removeprefix("data: "))
            except (ClientError, TimeoutError):
                await asyncio.sleep(0.5)


def _problem(status: int, body: bytes) -> str:
    try:
        found = orjson.loads(body)
        errors = "".join(f"\n  {e['pointer']}: {e['message']}" for e in found.get("errors") or ())
        return f"{found['detail']}{errors}"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"The server answered {status}: {body[:200].decode(errors='replace')}"


def _code_for(address: str) -> str:
    outbox = Path(os.environ.get("STUDIO_LOCAL__OUTBOX_DIR", ".studio/outbox"))
    for path in sorted(outbox.glob("*.eml"), key=lambda p: p.stat().st_mtime_ns, reverse=True):
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        body = mail.get_body(("plain",))
        if mail["To"] == address and body and (found := _CODE.search(body.get_content())):
            return found[0]
    raise DemoError(
        f"No code for {address} in {outbox}: is the local provider pack on? (studio plugins list)"
    )
