"""Secrets never leave: every secret setting holds a canary, a stranger's plugin says its own wherever it can,
clients bring some more, and then everything that a stranger or an operator can read is searched.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import secrets
import shutil
import signal
import sys
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import get_args, get_origin

import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout
from pydantic import BaseModel, SecretStr

from studio.settings import Settings
from studio.testing import InMemoryDatabase
from studio.testing.client import Client
from studio.testing.installed import offer
from studio.testing.kit import Studio
from studio.testing.servers import free_port

pytestmark = pytest.mark.child
HERE = Path(__file__).parent
ENDED = ("succeeded", "failed", "cancelled")
AGENT = 'Mozilla\u2028\u2029\x85{"level":"info"}'
PATH = "/api/leaky/watch/%0d%0a%1b%5b31m%e2%80%a8%7b%22level%22%3a%22info%22%7d"
ADDRESSES = {"database.url", "database.stories_url", "cache.url"}
STORY = "INT. CANTEEN - NIGHT\n\nAnn waits.\n\nANN\nNobody came.\n"


def secret_settings():
    """Yield the dotted key of every secret that the kernel or an installed plugin takes; of a table of tables, one."""
    platform = Studio(
        environ={"STUDIO_ENV": "test", "STUDIO_CONFIG_DIR": "nowhere", "STUDIO_LOGGING__LEVEL": "error"},
        database=InMemoryDatabase(),
    )
    found = {
        name: record.plugin.manifest.settings
        for name, record in platform.loader.records.items()
        if record.plugin is not None and record.plugin.manifest.settings is not None
    }
    for name, model in {"": Settings, **found}.items():
        yield from _secrets_of(model, name)


def _secrets_of(model, path):
    for name, field in model.model_fields.items():
        below = f"{path}.{name}".lstrip(".")
        kinds = list(_kinds_of(field.annotation))
        if SecretStr in kinds:
            yield below
        below += ".canary" * (get_origin(field.annotation) is dict)
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _secrets_of(kind, below)


def _kinds_of(annotation):
    yield annotation
    for part in get_args(annotation):
        yield from _kinds_of(part)


class Installation:
    """A real server in a folder of its own, with a canary in every secret."""

    def __init__(self, folder, **more):
        self.folder, self.port = folder, free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.canaries = {}
        strangers = folder / "strangers"
        offer(strangers, "leaky", "leaky_plugin:Plugin", prefixes=["/api/leaky"])
        shutil.copy(HERE / "leaky_plugin.py", strangers)
        rates = {
            f"STUDIO_LIMITS__{name}": "100000/1" for name in ("ALL", "CREATE", "AUTH", "REFRESH", "MAIL")
        }
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith("STUDIO_")} | rates
        self.environ |= {
            "PYTHONPATH": str(strangers),
            "STUDIO_ENV": "test",
            "STUDIO_SERVER__PORT": str(self.port),
            "STUDIO_LOGGING__FORMAT": "json",
            "STUDIO_LOGGING__LEVEL": "debug",
            "STUDIO_AUTH__OTP_INTERVAL_S": "0",
            "STUDIO_AUTH__OTP_DIGITS": "10",
            "STUDIO_AUTH__ADMINS": "root@example.org",
            "STUDIO_JOBS__PROVIDER_ORDER": '{"mail": ["local"], "image": ["local"]}',
            "STUDIO_OIDC__PROVIDERS__CANARY__ISSUER": "https://id.example.org",
            "STUDIO_OIDC__PROVIDERS__CANARY__CLIENT_ID": "studio",
            "STUDIO_LEAKY__NESTED": json.dumps({"deep": self.canary("nested")}),
            "STUDIO_LEAKY__KEY": self.canary("leaky"),
        } | more

    def canary(self, name, *, whsec=False):
        """Return a new secret that no text holds by chance; with `whsec` in the form of Standard Webhooks."""
        value = f"canary-{name.replace('_', '-')}-{secrets.token_hex(16)}"
        value = f"whsec_{base64.b64encode(value.encode()).decode()}" if whsec else value
        self.canaries[name] = value
        return value

    def fill(self):
        """Put a canary in every secret setting that is no address of a server."""
        for path in sorted(set(secret_settings()) - ADDRESSES):
            variable = "STUDIO_" + path.upper().replace(".", "__")
            self.environ.setdefault(variable, self.canary(path, whsec=path.endswith(".webhook_secret")))

    @property
    def log(self):
        return (self.folder / "server.log").read_text(errors="replace")

    @property
    def kept_errors(self):
        return "".join(path.read_text() for path in sorted((self.folder / ".errorLogs").glob("*")))

    async def spawn(self):
        with (self.folder / "server.log").open("ab") as log:
            command = (sys.executable, "-m", "studio", "serve")
            return await asyncio.create_subprocess_exec(
                *command, cwd=self.folder, env=self.environ, stdout=log, stderr=log
            )

    @asynccontextmanager
    async def running(self):
        process, ready = await self.spawn(), time.monotonic() + 60
        try:
            async with ClientSession(timeout=ClientTimeout(30)) as session:
                while True:
                    assert process.returncode is None, self.log[-3000:]
                    assert time.monotonic() < ready, self.log[-3000:]
                    with suppress(ClientError):
                        async with session.get(f"{self.base}/readyz") as answer:
                            if answer.status == 200:
                                break
                    await asyncio.sleep(0.05)
                yield Heard(session, self.base, self.folder / ".studio" / "outbox")
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                try:
                    await asyncio.wait_for(process.wait(), 20)
                except TimeoutError:
                    process.kill()
                    await process.wait()

    def found_in(self, text, *more):
        """Return the names of the canaries in `text`, and which of `more` values are in it."""
        named = {name for name, value in self.canaries.items() if value in text}
        return named | {value for value in more if value in text}


class Heard(Client):
    """A client that keeps all it was told."""

    told: list[str] = []  # noqa: RUF012 - one list for all users of a test; each server starts it anew

    async def call(self, method, path, json=None, **options):
        answer = await super().call(method, path, json, **options)
        if path != "/api/auth/otp/verify":
            self.told.append(
                f"{method} {path.partition('?')[0]}: {dict(answer.headers)} {answer.bytes.decode(errors='replace')}"
            )
        return answer

    async def signed_in(self, address):
        """As `sign_in`, remembering the code."""
        await self.post("/api/auth/otp/request", {"email": address})
        code = self.code_for(address)
        answer = await self.post("/api/auth/otp/verify", {"email": address, "code": code})
        assert answer.status == 200, answer
        other = Heard(self._session, self._base, self._outbox)
        other.tokens = answer.json
        other.headers = {"Authorization": f"Bearer {answer.json['accessToken']}"}
        return other, code


async def raw_call(port, path, agent):
    """Send a request that no client library would, and read to the end of the answer's head."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: {agent}\r\n\r\n"
    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    await writer.wait_closed()
    return answer


async def provoke(house, nobody):
    """Use the platform as its users do, and every leak of the stranger; return the codes and tokens of users."""
    root, code = await nobody.signed_in("root@example.org")
    private = [code, root.tokens["accessToken"], root.tokens["refreshToken"]]
    mine = {name: house.canary(name) for name in ("header", "query", "cookie", "path", "body", "csrf")}
    for path in ("unknown", "known", "log", "background", f"watch/{mine['path']}"):
        headers = {"Authorization": f"Bearer {mine['header']}", "Cookie": f"studio_session={mine['cookie']}"}
        await nobody.get(f"/api/leaky/{path}?token={mine['query']}", headers=headers)
    for scheme in ("Bearer", "Basic", "Digest"):
        await nobody.get("/api/auth/me", headers={"Authorization": f"{scheme} {mine['header']}"})
    await nobody.post("/api/auth/otp/verify", {"email": "root@example.org", "code": "0123456789"})
    await nobody.post("/api/auth/refresh", {"refreshToken": mine["body"]})
    await root.post("/api/workbench/projects", {"name": "Film", "password": mine["body"]})
    key = (await root.post("/api/auth/api-keys", {"name": "CI", "scopes": ["project:read"]})).json["key"]
    private.append(key)
    for path in ("/api/workbench/projects", "/api/auth/me", "/api/leaky/log"):
        await nobody.get(path, headers={"Authorization": f"Bearer {key}"})
    project = (await root.post("/api/workbench/projects", {"name": "Film"})).json
    body = {"projectId": project["id"], "text": STORY, "format": "fountain"}
    story = (await root.post("/api/stories", body)).json
    await ended(root, (await root.post(f"/api/stories/{story['id']}/breakdown")).json["jobId"])
    shot = (await root.get(f"/api/stories/{story['id']}/tree")).json["shots"][0]["id"]
    target = {"type": "shot", "id": shot, "slot": "panel"}
    for provider in ("leaky-reject", "leaky-fail", "leaky-unusable"):
        order = await root.post("/api/assetGen/generate", {"target": target, "provider": provider})
        if order.status == 202:
            assert (await ended(root, order.json["job"]["id"]))["state"] == "failed"
    for path in (
        "/api/plugins",
        "/api/capabilities",
        "/readyz",
        "/metrics",
        "/api/mailer/mails",
        "/api/assetGen/models",
    ):
        assert (await root.get(path)).status == 200
    for listed in ("/api/assetGen/jobs", "/api/assetGen/assets"):
        await root.get(f"{listed}?projectId={project['id']}")
    feed = await root.get(f"/api/workbench/projects/{project['id']}/activities")
    assert len(feed.json["items"]) >= 2
    return private


async def ended(client, job_id):
    return await client.wait_for(f"/api/assetGen/jobs/{job_id}", lambda job: job["state"] in ENDED)


@pytest.fixture(scope="module")
async def house(tmp_path_factory):
    """A server that was used, provoked and stopped; `told`, `private` hold what was said, and to whom."""
    made = Installation(tmp_path_factory.mktemp("canaries"))
    made.fill()
    Heard.told = []
    async with made.running() as nobody:
        made.private = await provoke(made, nobody)
        for path in (PATH, "/api/leaky/log", "/api/leaky/unknown"):
            await raw_call(made.port, path, AGENT)
        for broken in ("\r\n{}", "\rx", "\nx", "\x1b[31m", "\r\n {}", "\x00"):
            await raw_call(made.port, "/api/leaky/log", AGENT + broken)
    made.told = "\n".join(Heard.told)
    return made


async def test_every_line_of_the_server_is_one_json_record(house):
    lines = house.log.split("\n")
    assert len(lines) > 10
    for line in filter(None, lines):
        record = json.loads(line)
        assert {"at", "level", "event"} <= record.keys(), line
        assert line.isascii()
        assert not re.search(r"[\x00-\x1f\x7f]", line), line


async def test_what_a_client_sent_stands_inside_its_record(house):
    seen = [json.loads(line) for line in house.log.splitlines() if '"event": "seen"' in line]
    assert any("\u2028" in record["agent"] for record in seen), "it came through the parser"
    failed = [json.loads(line) for line in house.log.splitlines() if '"event": "request_failed"' in line]
    assert any(record["route"] == "/api/leaky/watch/{token}" for record in failed)
    for line in filter(None, house.kept_errors.split("\n")):
        assert json.loads(line)["level"] in ("error", "critical")


async def test_no_canary_is_in_the_log(house):
    assert "vendor.example" in house.log, "the stranger has spoken"
    assert house.found_in(house.log, *house.private) == set()


async def test_no_canary_is_in_the_kept_errors(house):
    assert "vendor.example" in house.kept_errors
    assert house.found_in(house.kept_errors, *house.private) == set()


async def test_no_canary_is_in_an_answer(house):
    assert "vendor.example" in house.told
    leaks = [line[:300] for line in house.told.splitlines() if house.found_in(line, *house.private[:1])]
    echoed = house.canaries["path"]  # of its own path a client may read: it has sent it
    assert [line for line in leaks if echoed not in line] == []


async def test_no_canary_is_in_the_head_of_a_mail(house):
    mails = sorted((house.folder / ".studio" / "outbox").glob("*.eml"))
    assert mails
    for path in mails:
        assert house.found_in(path.read_text().partition("\n\n")[0], house.private[0]) == set()


async def test_code_is_in_no_stored_outbox(house):
    assert '"template": "otp"' not in house.told


async def test_generated_credentials_of_the_embedded_servers_are_told_to_nobody(house):
    files = sorted((house.folder / ".studio").glob("*.secret.json"))
    generated = {json.loads(path.read_text())["password"] for path in files}
    assert len(generated) == 2
    assert house.found_in(house.log + house.told, *generated) & generated == set()


@pytest.mark.parametrize(
    ("variable", "shape", "code"),
    [
        ("STUDIO_DATABASE__URL", "mongodb://ann:{}@127.0.0.1:1/?authSource=admin", None),
        ("STUDIO_SERVER__PORT", "{}", 78),
        ("STUDIO_AUTH__SECRET", "{:.16}", 78),
        ("STUDIO_LEAKY__NESTED", "{}", 78),
    ],
)
async def test_start_that_fails_does_not_say_the_secret(tmp_path, variable, shape, code):
    made = Installation(tmp_path)
    value = made.canary("start")
    made.environ[variable] = shape.format(value)
    process = await made.spawn()
    found = await asyncio.wait_for(process.wait(), 60)
    assert found != 0
    assert code in (None, found)
    assert made.log.strip(), "it says what is wrong"
    assert made.found_in(made.log + made.kept_errors, value[:16]) == set()


async def test_cache_that_refuses_the_password_is_named_without_it(tmp_path, cache_server_url):
    made = Installation(tmp_path)
    made.environ["STUDIO_CACHE__URL"] = cache_server_url.replace(
        "redis://", f"redis://ann:{made.canary('cache')}@"
    )
    Heard.told = []
    async with made.running() as nobody:
        await nobody.get("/readyz")
        await nobody.get("/api/capabilities")
    assert made.found_in(made.log + "".join(Heard.told)) == set()
