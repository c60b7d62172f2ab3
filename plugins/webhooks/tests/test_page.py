"""The page of the inbox and the deliveries: what it is made of, and what it may not do."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import jinja2
import pytest

from studio import NotFoundError
from studio_console.api import SESSION, StaticFiles
from studio_webhooks.pages import FILES, HERE

SCRIPT = (HERE / "static" / "webhooks.js").read_text() + SESSION.read_text()
STATIC = re.compile(r'"(/webhooks/static/[^"]+)"')
VOID = {"input", "img", "link", "meta", "br", "hr"}


class Tags(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.found, self.open = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs), tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"{tag} is closed, and something in it is not"


@pytest.fixture(scope="module")
def tags():
    loader = jinja2.FileSystemLoader(HERE / "templates")
    template = jinja2.Environment(loader=loader, autoescape=True).get_template("webhooks.html")
    return Tags(template.render(url=lambda file: f"/webhooks/static/{file}")).found


@pytest.mark.pure
def test_page_has_nothing_inline_and_no_other_host(tags):
    for tag, attributes, _ in tags:
        assert not {"style", "target" if tag != "a" else ""} & attributes.keys(), attributes
        assert not [name for name in attributes if name.startswith("on")], attributes
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        for name in ("src", "href", "action"):
            assert attributes.get(name, "/").startswith(("/", "#")), attributes
            assert not attributes.get(name, "").startswith("//"), attributes


@pytest.mark.pure
def test_every_control_and_table_has_a_name_and_every_view_a_heading(tags):
    ids = [attributes["id"] for _, attributes, _ in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes, around in tags:
        if tag in {"input", "select", "textarea"}:
            assert "label" in around, attributes
        if tag in {"section", "table", "pre"}:
            assert attributes["aria-labelledby"] in ids
        if tag == "nav":
            assert attributes["aria-label"]
        if tag == "th":
            assert attributes["scope"] == "col"


@pytest.mark.pure
def test_script_finds_every_element_it_names(tags):
    ids = {attributes.get("id") for _, attributes, _ in tags}
    named = set(re.findall(r'(?:\$|onClick|options|setOff|drawFacts)\("([a-z-]+)"', SCRIPT))
    named |= {
        f"{view}-{part}" for view in ("call", "delivery") for part in ("body", "whole", "indent", "back")
    }
    named |= {f"{tab}-{part}" for tab in ("received", "sent") for part in ("newest", "older", "filter")}
    assert len(named) > 40
    assert named <= ids, named - ids


@pytest.mark.pure
@pytest.mark.parametrize(
    "word", ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "document.write", "localStorage"]
)
def test_script_never_makes_markup_from_text(word):
    assert word not in SCRIPT


@pytest.mark.pure
def test_address_of_a_file_changes_with_its_content(tmp_path):
    (tmp_path / "a.js").write_text("1")
    before = StaticFiles(FILES, tmp_path).url("a.js")
    (tmp_path / "a.js").write_text("2")
    assert StaticFiles(FILES, tmp_path).url("a.js") != before
    with pytest.raises(NotFoundError):
        StaticFiles(FILES, tmp_path).file("../pages.py")


@pytest.mark.http
async def test_page_is_the_same_for_everybody_and_forbids_what_it_does_not_need(studio, root):
    answer = await studio.get("/webhooks")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["Cache-Control"] == "no-store"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert (await root.get("/webhooks")).bytes == answer.bytes, "it holds nothing of anybody"


@pytest.mark.http
async def test_files_of_the_page_are_kept_for_ever_under_their_fingerprint_only(studio):
    found = set(STATIC.findall((await studio.get("/webhooks")).bytes.decode()))
    assert {url.partition("?")[0].rpartition(".")[2] for url in found} == {"js", "css", "svg"}
    for url in found:
        answer = await studio.get(url)
        assert answer.status == 200, url
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        again = await studio.get(url, headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status, again.bytes) == (304, b"")
        old = await studio.get(url.partition("?")[0] + "?v=0")
        assert old.headers["Cache-Control"] == "public, no-cache"


@pytest.mark.http
async def test_script_of_the_session_lies_beside_the_pages_own(studio):
    answer = await studio.get("/webhooks/static/session.js")
    assert (answer.status, answer.bytes) == (200, SESSION.read_bytes())
    assert answer.headers["Content-Type"].startswith("text/javascript")


@pytest.mark.http
@pytest.mark.parametrize(
    "name", ["nothing.js", "..%2Fpages.py", "..%2f..%2fpyproject.toml", "%2Fetc%2Fpasswd"]
)
async def test_file_that_is_not_the_pages_is_not_found(studio, name):
    assert (await studio.get(f"/webhooks/static/{name}")).status == 404


@pytest.mark.http
async def test_every_address_the_script_calls_exists(studio):
    paths = (await studio.get("/api/openapi.json")).json["paths"]
    known = {re.sub(r"\{[^}]*\}", "*", path) for path in paths}
    called = {
        re.sub(r"\$\{(?:[^{}]|\{[^}]*\})*\}", "*", path).partition("?")[0]
        for path in re.findall(r"[\"`](/api/[^\"`]+)[\"`]", SCRIPT)
    }
    assert len(called) > 9
    assert called <= known, called - known


@pytest.mark.http
async def test_cookie_reads_the_inbox_and_replays_with_the_header_only(studio, root, sign):
    body = b'{"type":"page"}'
    answer = await studio.call("POST", "/api/webhooks/vendor", data=body, headers=sign(body))
    assert answer.status == 202
    delivery = answer.json["deliveryId"]
    await root.wait_for(
        "/api/webhooks/inbox?limit=200",
        lambda page: any(c["deliveryId"] == delivery and c["state"] == "processed" for c in page["items"]),
    )
    cookie = {"Cookie": f"studio_session={root.tokens['accessToken']}"}
    (call,) = [
        c
        for c in (await studio.get("/api/webhooks/inbox?limit=200", headers=cookie)).json["items"]
        if c["deliveryId"] == delivery
    ]
    path = f"/api/webhooks/inbox/{call['id']}/replay"
    refused = await studio.post(path, headers=cookie)
    assert (refused.status, refused.json["code"]) == (403, "csrf_header_missing")
    assert (await studio.post(path, headers=cookie | {"X-Requested-With": "studio-console"})).status == 200
