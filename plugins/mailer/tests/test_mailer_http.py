"""The mailer in a whole Studio, over HTTP."""

from __future__ import annotations

import asyncio

import pytest

from studio.testing.client import serving
from studio_mailer.api import Mails
from studio_mailer.rendering import TEMPLATES
from studio_mailer.samples import SAMPLES

pytestmark = pytest.mark.http


@pytest.fixture(scope="module")
async def laptop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("laptop")
    more = {"STUDIO_ENV": "development", "STUDIO_AUTH__ADMINS": "root@example.org"}
    async with serving(folder, **more) as client:
        yield client


@pytest.fixture(scope="module")
async def root(laptop):
    return await laptop.sign_in("root@example.org")


def mails_of(client):
    return client.studio.services.provided[Mails][1]


async def sent(root, to, state="sent"):
    async with asyncio.timeout(30):
        while True:
            items = (await root.get("/api/mailer/mails?limit=200")).json["items"]
            if found := next((m for m in items if m["to"] == to and m["state"] == state), None):
                return found
            await asyncio.sleep(0.02)


async def test_enqueued_mail_arrives_in_the_outbox_of_the_laptop(laptop, root):
    await mails_of(laptop).enqueue(
        "invitation", "ben@example.org", SAMPLES["invitation"], key="invitation:ben"
    )
    mail = await sent(root, "ben@example.org")
    assert (mail["template"], mail["attempts"], mail["provider"]) == ("invitation", 1, "local")
    assert not mail.keys() & {"content", "values", "token"}
    page = (await laptop.get("/console/outbox")).bytes.decode()
    assert "invites you to “The Last Reel”" in page
    link = f"http://localhost:{laptop.studio.settings.server.port}/console#/invitations/sample"
    assert f'href="{link}"' in page


async def test_outbox_page_offers_the_mail_as_a_file(laptop, root):
    await mails_of(laptop).enqueue("review_link", "eve@example.org", SAMPLES["review_link"], key="review:eve")
    mail = await sent(root, "eve@example.org")
    path = f"/console/outbox/{mail['messageId']}"
    assert f'href="{path}"' in (await laptop.get("/console/outbox")).bytes.decode()
    answer = await laptop.get(path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "message/rfc822")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{mail["messageId"]}.eml"'
    assert b"To: eve@example.org" in answer.bytes
    for unknown in ("nobody", "..%2F..%2Fauth.key", "%2A"):
        assert (await laptop.get(f"/console/outbox/{unknown}")).status == 404


async def test_outbox_is_for_operators_only(laptop, root):
    anyone = await laptop.sign_in("anyone@example.org")
    for method, path in (("GET", ""), ("GET", "/x"), ("POST", "/x/retry")):
        answer = await anyone.call(method, f"/api/mailer/mails{path}")
        assert answer.status == 403, (path, answer)
        assert (await laptop.call(method, f"/api/mailer/mails{path}")).status == 401
    assert (await root.get("/api/mailer/mails/x")).status == 404
    assert (await root.post("/api/mailer/mails/x/retry")).status == 404


async def test_list_is_filtered_by_state(root):
    assert (await root.get("/api/mailer/mails?state=dead")).json["items"] == []
    assert (await root.get("/api/mailer/mails?state=lost")).status == 422


async def test_sent_mail_cannot_be_retried(laptop, root):
    await mails_of(laptop).enqueue("review_link", "dan@example.org", SAMPLES["review_link"], key="review:dan")
    mail = await sent(root, "dan@example.org")
    answer = await root.post(f"/api/mailer/mails/{mail['id']}/retry")
    assert (answer.status, answer.json["code"]) == (409, "conflict")


async def test_health_and_metrics_tell_of_the_outbox(laptop, root):
    check = (await laptop.get("/readyz")).json["checks"]["mail"]
    assert check["ok"]
    assert check["note"].endswith("dead")
    text = (await root.get("/metrics")).bytes.decode()
    for name in ("studio_mails_queued", "studio_mails_dead", "studio_mail_oldest_seconds"):
        assert f"\n{name} " in text


async def test_preview_shows_every_template_without_script_or_anything_from_elsewhere(laptop):
    page = await laptop.get("/mail/preview")
    assert page.status == 200
    assert "script" not in page.headers["Content-Security-Policy"]
    for name in TEMPLATES:
        assert f'src="/mail/preview/{name}"' in page.bytes.decode()
        html = await laptop.get(f"/mail/preview/{name}")
        assert html.headers["Content-Type"].startswith("text/html")
        assert "sandbox" in html.headers["Content-Security-Policy"]
        text = await laptop.get(f"/mail/preview/{name}?part=text")
        assert text.headers["Content-Type"].startswith("text/plain")
    assert (await laptop.get("/mail/preview/..%2Flayout")).status == 404
    assert (await laptop.get("/mail/preview/otp?part=both")).status == 422


async def test_preview_exists_in_development_only(server):
    assert (await server.get("/mail/preview")).status == 404
    paths = (await server.get("/api/openapi.json")).json["paths"]
    assert not [path for path in paths if path.startswith("/mail")]
    assert "/api/mailer/mails" in paths
