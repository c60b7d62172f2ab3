"""The page's own files, without a server."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import jinja2
import pytest
from aiohttp.test_utils import make_mocked_request
from pydantic import BaseModel

import studio_console
from studio import NotFoundError, ProviderUnavailableError
from studio_console.outbox import list_mails
from studio_console.static_files import StaticFiles

pytestmark = pytest.mark.pure
HERE = Path(studio_console.__file__).parent
SCRIPT = "".join((HERE / "static" / name).read_text() for name in ("console.js", "session.js"))
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
        if tag in self.open:
            while self.open.pop() != tag:
                pass


def page(name, **context):
    loader = jinja2.FileSystemLoader(HERE / "templates")
    template = jinja2.Environment(loader=loader, autoescape=True).get_template(name)
    return template.render(
        url=lambda file: f"/console/static/{file}", environment="development", development=True, **context
    )


@pytest.fixture(params=["index.html", "outbox.html"])
def tags(request):
    return Tags(page(request.param, mails=[])).found


def test_page_has_nothing_inline_and_no_other_host(tags):
    for tag, attributes, _ in tags:
        assert "style" not in attributes, attributes
        assert not [name for name in attributes if name.startswith("on")], attributes
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        for name in ("src", "href", "action"):
            assert attributes.get(name, "/").startswith(("/", "#")), attributes
            assert not attributes.get(name, "").startswith("//"), attributes


def test_page_ids_are_unique_and_labels_name_a_control(tags):
    ids = [attributes["id"] for _, attributes, _ in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    controls = {a["id"] for t, a, _ in tags if t in {"input", "select", "textarea"} and "id" in a}
    named = {a["for"] for t, a, _ in tags if t == "label" and "for" in a}
    assert named == controls
    for tag, attributes, around in tags:
        if tag in {"input", "select", "textarea"}:
            assert attributes.get("id") in named or "label" in around, attributes
        for reference in attributes.get("aria-labelledby", "").split():
            assert reference in ids


def test_script_finds_every_element_it_names():
    ids = {attributes.get("id") for _, attributes, _ in Tags(page("index.html")).found}
    named = set(re.findall(r'(?:\$|fill|onClick|onSubmit)\("([a-z-]+)"', SCRIPT))
    assert len(named) > 40
    assert named <= ids, named - ids


@pytest.mark.parametrize(
    "word", ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "document.write", "localStorage"]
)
def test_script_never_makes_markup_from_text(word):
    assert word not in SCRIPT


def test_outbox_page_shows_a_hostile_mail_as_text():
    mail = SimpleNamespace(
        to="a@b.c", subject="<script>alert(1)</script>", text="<b>", sent_at="", code="123456"
    )
    html = page("outbox.html", mails=[mail])
    assert "<script>alert" not in html
    assert "&lt;script&gt;" in html
    assert "123456" in html


def test_static_url_changes_with_the_content(tmp_path):
    (tmp_path / "a.js").write_text("1")
    before = StaticFiles("/console/static", tmp_path).url("a.js")
    (tmp_path / "a.js").write_text("2")
    assert StaticFiles("/console/static", tmp_path).url("a.js") != before


def test_static_answer_is_kept_for_ever_only_under_its_own_fingerprint(tmp_path):
    (tmp_path / "a.css").write_text("p {}")
    file = StaticFiles("/console/static", tmp_path).file("a.css")
    request = make_mocked_request("GET", "/")
    assert "immutable" in file.answer(request, file.fingerprint).headers["Cache-Control"]
    for asked in (None, "0" * 16):
        assert file.answer(request, asked).headers["Cache-Control"] == "public, no-cache"


def test_static_answer_is_packed_only_for_who_takes_it(tmp_path):
    (tmp_path / "a.css").write_text("p { color: red }\n" * 100)
    file = StaticFiles("/console/static", tmp_path).file("a.css")
    plain = file.answer(make_mocked_request("GET", "/"), None)
    packed = file.answer(make_mocked_request("GET", "/", {"Accept-Encoding": "br, gzip"}), None)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.body) < len(plain.body)


def test_static_file_that_is_not_there_is_not_found(tmp_path):
    with pytest.raises(NotFoundError):
        StaticFiles("/console/static", tmp_path).file("../plugin.py")


class MailModel(BaseModel):
    to: str
    subject: str
    text: str
    sent_at: str


MAILS = [
    {"to": "a@b.c", "subject": "Code", "text": "Your code is 123456.", "sentAt": 1_700_000_000_000},
    MailModel(to="a@b.c", subject="Code", text="Your code is 123456.", sent_at="2023-11-14T22:13:20+00:00"),
]


def context(environment="development", **provider):
    def get(capability):
        assert capability == "mail"
        if not provider:
            raise ProviderUnavailableError("nobody mails")
        return SimpleNamespace(**provider)

    return SimpleNamespace(
        config=SimpleNamespace(environment=environment), providers=SimpleNamespace(get=get)
    )


@pytest.mark.parametrize("mail", MAILS, ids=["mapping", "model"])
async def test_outbox_reads_mails_of_either_shape(mail):
    async def kept():
        return [mail]

    (found,) = await list_mails(context(list=kept))
    assert (found.to, found.code, found.sent_at) == ("a@b.c", "123456", "2023-11-14T22:13:20+00:00")


@pytest.mark.parametrize("environment", ["test", "preview", "production"])
async def test_outbox_outside_development_is_not_found(environment):
    with pytest.raises(NotFoundError):
        await list_mails(context(environment, list=lambda: MAILS))


@pytest.mark.parametrize("provider", [{}, {"send": None}], ids=["nobody mails", "mailer without outbox"])
async def test_outbox_without_kept_mails_is_not_found(provider):
    with pytest.raises(NotFoundError, match="no outbox"):
        await list_mails(context(**provider))
