"""A client of a running Studio that speaks HTTP only: it signs in by mail like everybody else."""

from __future__ import annotations

import asyncio
import email.message
import email.policy
import re
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import ClientSession, ClientTimeout
from aiohttp.test_utils import TestServer

from studio.app import Studio, running
from studio.plugins.context import PluginContext
from studio.providers.contract import ProviderSpec
from studio.telemetry import get_logger
from studio.testing.memory import InMemoryDatabase

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from studio.database.schema import DeclaredDatabase
    from studio.providers.services import Mail

BAD = 400
CODE = re.compile(r"\b(\d{6,10})\b")
INVITATION = re.compile(r"/invitations/([\w-]{43})")
_TAKEN: set[str | None] = {None}
_READ: dict[tuple[Path, int, int], tuple[str, str]] = {}
"""What each mail says (to whom, text), by path, time and size: an outbox may hold thousands."""


class Answer:
    """What came back: `status`, `headers`, the body as `bytes`, and `json` where it is JSON."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, json: Any) -> None:
        self.status, self.headers, self.bytes, self.json = status, headers, body, json
        self.why = ""
        """Of a 503 of a plugin that failed: its phase and reason, which only operators are told otherwise."""

    def __repr__(self) -> str:
        return f"<{self.why}{self.status} {self.json if self.json is not None else self.bytes[:200]!r}>"


class Client:
    """Calls one server, as one user once `sign_in` was called."""

    def __init__(self, session: ClientSession, base: str, outbox: Path) -> None:
        self._session, self._base, self._outbox = session, base, outbox
        self.headers: dict[str, str] = {}
        self.studio: Studio | None = None
        """The platform behind it, for tests that must look inside."""
        self.user: dict[str, Any] = {}
        self.tokens: dict[str, Any] = {}
        """The whole answer of the sign-in: accessToken, refreshToken, expiresIn, user."""

    async def call(self, method: str, path: str, json: Any = None, **options: Any) -> Answer:
        """Send one request; `options` are aiohttp's."""
        headers = self.headers | dict(options.pop("headers", {}))
        async with self._session.request(
            method, self._base + path, json=json, headers=headers, **options
        ) as response:
            body = await response.read()
            is_json = "json" in response.headers.get("Content-Type", "")
            parsed = await response.json(content_type=None) if is_json and body else None
            answer = Answer(response.status, response.headers, body, parsed)
            if isinstance(parsed, dict) and parsed.get("code") == "plugin_unavailable":
                answer.why = self._why(str(parsed.get("plugin")))
            return answer

    def _why(self, plugin: str) -> str:
        record = self.studio.loader.records.get(plugin) if self.studio else None
        return f"plugin {plugin} {record.state} in {record.phase}: {record.error}; " if record else ""

    async def get(self, path: str, **options: Any) -> Answer:
        """GET."""
        return await self.call("GET", path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> Answer:
        """POST."""
        return await self.call("POST", path, json, **options)

    async def patch(self, path: str, json: Any = None, **options: Any) -> Answer:
        """PATCH."""
        return await self.call("PATCH", path, json, **options)

    async def put(self, path: str, json: Any = None, **options: Any) -> Answer:
        """PUT."""
        return await self.call("PUT", path, json, **options)

    async def delete(self, path: str, **options: Any) -> Answer:
        """DELETE."""
        return await self.call("DELETE", path, **options)

    async def sign_in(self, address: str) -> Client:
        """Ask for a code, read it from the outbox, and return a client that is signed in as `address`."""
        other = Client(self._session, self._base, self._outbox)
        other.studio = self.studio
        asked = await other.post("/api/auth/otp/request", {"email": address})
        if asked.status >= BAD:
            raise AssertionError(
                f"signing in needs the plugin auth (pip install studio-auth), which says {asked}"
            )
        answer = await other.post("/api/auth/otp/verify", {"email": address, "code": self.code_for(address)})
        assert answer.status == 200, answer  # noqa: S101, PLR2004 - a test kit fails by assertion
        other.tokens, other.user = answer.json, answer.json["user"]
        other.headers = {"Authorization": f"Bearer {answer.json['accessToken']}"}
        return other

    async def join(self, inviter: Client, project_id: str, role: str = "viewer") -> dict[str, Any]:
        """Be invited to a project, accept, and return the membership."""
        path = f"/api/rbac/projects/{project_id}/collaborators"
        invited = await inviter.post(path, {"email": self.user["email"], "roleKey": role})
        assert invited.status == 201, invited  # noqa: S101, PLR2004 - as above
        accepted = await self.post(f"/api/rbac/invitations/{await self.invitation(invited)}/accept")
        assert accepted.status == 200, accepted  # noqa: S101, PLR2004 - as above
        found: dict[str, Any] = accepted.json
        return found

    async def invitation(self, invited: Answer) -> str:
        """Return the token of an invitation, each once: from its answer, or from the mail that went out."""
        if link := invited.json["acceptLink"]:
            return str(link).rpartition("/")[2]
        async with asyncio.timeout(10):
            while (token := self._mailed(invited.json["email"], INVITATION)) in _TAKEN:  # noqa: ASYNC110 - a folder
                await asyncio.sleep(0.02)
        _TAKEN.add(token)
        return str(token)

    def code_for(self, address: str) -> str:
        """Return the newest code in the outbox for `address`."""
        if code := self._mailed(address, CODE):
            return code
        raise AssertionError(f"no code for {address} in {self._outbox}")

    def _mailed(self, address: str, wanted: re.Pattern[str]) -> str | None:
        """Return the first group of the newest mail to `address` that has what is wanted."""
        mails = [(path, path.stat()) for path in self._outbox.glob("*.eml")]
        for path, stat in sorted(mails, key=lambda one: one[1].st_mtime_ns, reverse=True):
            to, text = _read(path, stat.st_mtime_ns, stat.st_size)
            if to == address and (found := wanted.search(text)):
                return str(found[1])
        return None

    async def wait_for(self, path: str, done: Any, timeout_s: float = 30.0) -> Any:
        """Ask `path` until `done(json)` holds, and return that JSON; for what a job does in its own time."""
        async with asyncio.timeout(timeout_s):
            while True:
                answer = await self.get(path)
                if answer.status == 200 and done(answer.json):  # noqa: PLR2004 - OK
                    return answer.json
                await asyncio.sleep(0.02)


def _read(path: Path, changed_ns: int, size: int) -> tuple[str, str]:
    """Return the address and the text of a mail, parsed once."""
    key = (path, changed_ns, size)
    if key not in _READ:
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        body = mail.get_body(("plain",))
        _READ[key] = str(mail["To"]), body.get_content() if body else ""
    return _READ[key]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return the variables of an installation that keeps everything in `folder`."""
    return {
        "STUDIO_ENV": "test",
        "STUDIO_CONFIG_DIR": str(folder),
        "STUDIO_PLUGINS__DISABLED": '["embedded", "streaq"]',
        "STUDIO_SERVER__SHUTDOWN_S": "2",
        "STUDIO_LOGGING__LEVEL": "info",
        "STUDIO_LOGGING__DIRECTORY": str(folder / "errors"),
        "STUDIO_AUTH__SECRET": "test-kit-" + "k" * 32,
        "STUDIO_AUTH__OTP_INTERVAL_S": "0",
        **{f"STUDIO_LIMITS__{rate}": "1000000/1" for rate in ("ALL", "CREATE", "AUTH", "REFRESH", "MAIL")},
        "STUDIO_JOBS__SCAN_S": "0.1",
        "STUDIO_LOCAL__WORK_DIR": str(folder / "work"),
        "STUDIO_LOCAL__STORAGE_DIR": str(folder / "storage"),
        "STUDIO_LOCAL__OUTBOX_DIR": str(folder / "outbox"),
        **more,
    }


class OutboxMailer:
    """Writes each mail as an .eml file, so that signing in needs no mail plugin."""

    def __init__(self, ctx: PluginContext) -> None:
        self._folder = ctx.settings(Path)

    async def send(self, mail: Mail, *, idempotency_key: str) -> str:
        """Write the mail; returns the file's name."""
        message = email.message.EmailMessage(policy=email.policy.default)
        message["To"], message["Subject"] = mail.to, mail.subject
        message.set_content(mail.text)
        name = f"{idempotency_key}.eml"
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / name).write_bytes(message.as_bytes())
        return name


def _ensure_mail(studio: Studio, outbox: Path) -> None:
    """Register the kit's own mailer behind all others."""
    ctx = PluginContext("test-kit", studio.services, outbox, get_logger("test-kit"))
    spec = ProviderSpec("test-kit", "mail", f"{__name__}:OutboxMailer", priority=1000)
    studio.services.providers.register("test-kit", ctx, [spec])


@asynccontextmanager
async def serving(
    folder: Path, database: DeclaredDatabase | None = None, **more: str
) -> AsyncIterator[Client]:
    """Serve a whole Studio from `folder` and yield an anonymous client; without `database` in memory."""
    studio = Studio(environ=environment(folder, **more), database=database or InMemoryDatabase())
    async with (
        running(studio),
        TestServer(studio.app) as server,
        ClientSession(timeout=ClientTimeout(30)) as session,
    ):
        _ensure_mail(studio, folder / "outbox")
        client = Client(session, str(server.make_url("")).rstrip("/"), folder / "outbox")
        client.studio = studio
        yield client
