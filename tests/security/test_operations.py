"""What an operator sees and gets without asking: who runs here, what is not told, and how the database is spoken to."""

from __future__ import annotations

import pytest

from studio import new_id
from studio.database.mongo import MongoDatabase
from studio.database.settings import DatabaseSettings
from studio.plugins.state import fingerprint

pytestmark = pytest.mark.http
PATHS = (
    "/",
    "/healthz",
    "/api/openapi.json",
    "/api/auth/me",
    "/api/none",
    "/console",
    "/api/plugins",
    "/metrics",
)


class Installed:
    """As much of a distribution as is looked at."""

    def __init__(self, record):
        self.record = record

    def read_text(self, name):
        assert name == "RECORD"
        return self.record


async def test_every_plugin_is_shown_to_an_admin_with_distribution_version_and_fingerprint(server):
    address = f"{new_id().lower()}@example.org"
    await server.sign_in(address)
    await server.studio.services.database["users"].update(
        {"email": address}, {"$set": {"platform_role": "admin"}}
    )
    items = (await (await server.sign_in(address)).get("/api/plugins")).json["items"]
    running = [item for item in items if item["state"] == "ready"]
    assert len(running) > 10
    assert all(item["distribution"] and item["version"] for item in running)
    assert all(len(item["fingerprint"]) == 64 for item in running)


def test_changed_file_of_a_plugin_is_another_fingerprint():
    record = "studio_mood/plugin.py,sha256=aaaa,10\n"
    assert fingerprint(Installed(record)) == fingerprint(Installed(record))
    assert fingerprint(Installed(record)) != fingerprint(Installed(record.replace("aaaa", "aaab")))
    assert fingerprint(Installed(None)) is None


@pytest.mark.parametrize("path", PATHS)
async def test_no_answer_names_the_software_or_its_version(server, path):
    for method in ("GET", "HEAD", "POST", "OPTIONS", "DELETE"):
        answer = await server.call(method, path, allow_redirects=False)
        told = f"{dict(answer.headers)}".lower()
        assert answer.headers["Server"] == "studio"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert not [word for word in ("aiohttp", "python", "x-powered-by") if word in told], (method, told)
        assert b"Traceback" not in answer.bytes


async def test_figures_and_the_list_of_plugins_are_for_operators(server, client):
    for path in ("/metrics", "/api/plugins"):
        assert [(await who.get(path)).status for who in (server, client)] == [401, 403]


async def test_driver_asks_the_database_for_no_compression():
    """MongoBleed (CVE-2025-14847) needs zlib; a server that offers it is not taken up on it."""
    database = MongoDatabase("mongodb://127.0.0.1:9", DatabaseSettings())
    try:
        for client in database._clients.values():
            assert client.options.pool_options._compression_settings.compressors == []
    finally:
        await database.close()
