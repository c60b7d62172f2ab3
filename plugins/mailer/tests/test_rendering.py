"""Templates and what strangers type into them."""

from __future__ import annotations

import re
from email import policy
from email.parser import BytesParser
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from studio import InvalidInputError, Mail
from studio_mailer.rendering import FOLDER, TEMPLATES, Renderer
from studio_mailer.samples import SAMPLES
from studio_mailer.text import address, many_lines, one_line, web_address

pytestmark = pytest.mark.pure
EVIL_NAME = "a\r\nBcc: x@y"
RENDERER = Renderer("https://studio.example.com")
every_template = pytest.mark.parametrize("name", TEMPLATES)


def mail(name, **changed):
    return RENDERER.mail(name, "ann@example.org", RENDERER.checked(name, SAMPLES[name] | changed))


@pytest.fixture
def outbox(tmp_path):
    """Return how a mail is written by the local mailer, and read again."""
    local = pytest.importorskip("studio_local.mail")
    mailer = local.LocalOutboxMailer(SimpleNamespace(settings=lambda _: SimpleNamespace(outbox_dir=tmp_path)))

    def there_and_back(mail):
        mailer._send(mail, "k")
        (path,) = tmp_path.glob("*.eml")
        return BytesParser(policy=policy.default).parsebytes(path.read_bytes())

    return there_and_back


class Tags(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@every_template
def test_template_renders_as_html_and_text_with_all_its_values(name):
    made = mail(name)
    assert made.tags == (name,)
    assert "\n" not in made.subject
    shown = Tags(made.html).text
    for field, value in SAMPLES[name].items():
        if isinstance(value, str):
            for line in value.splitlines():
                assert line in shown, field
                assert line in made.text, field


@every_template
def test_text_is_plain_and_html_has_no_script_and_nothing_from_elsewhere(name):
    made = mail(name)
    assert "&" not in re.sub(r"\S+://\S+", "", made.text), "text is no HTML"
    for tag, attributes in Tags(made.html).found:
        assert tag not in {"script", "img", "link", "iframe", "form"}
        assert not [key for key in attributes if key.startswith("on")]
        assert attributes.get("href", "https://").startswith("https://")


@every_template
def test_html_is_readable_on_a_phone_in_light_and_dark(name):
    html = mail(name).html
    assert 'content="width=device-width' in html
    assert 'name="color-scheme" content="light dark"' in html
    assert "prefers-color-scheme: dark" in html
    assert not re.search(r"\bwidth: ?\d{3,}px", html.replace("max-width", "")), "no fixed width"


def test_every_file_belongs_to_a_template_and_every_template_has_a_sample():
    names = {path.stem for path in (FOLDER / "mails").iterdir()} - {"layout", "parts"}
    assert names == set(TEMPLATES) == set(SAMPLES)


@every_template
@pytest.mark.parametrize(
    "evil", ["\r\nBcc: x@y", "\nBcc: x@y", "\u2028Bcc: x@y", "\x85Bcc: x@y", "\x0bBcc: x@y"]
)
def test_no_value_makes_a_second_header_line(name, evil):
    texts = {key: value + evil for key, value in SAMPLES[name].items() if isinstance(value, str)}
    kept = {key for key in texts if key.endswith(("email", "url")) or key == "code"}
    made = mail(name, **{key: value for key, value in texts.items() if key not in kept})
    assert len(made.subject.splitlines()) == 1


@pytest.mark.parametrize(
    "word", ["=?utf-8?q?a=0D=0ABcc:_x=40y?=", "=?utf-8?b?YQ0KQmNjOiB4QHk=?=", "==??utf-8"]
)
def test_encoded_word_in_a_name_is_text_and_is_not_decoded_on_the_way(word, outbox):
    made = mail("invitation", project=f"{word} {word}")
    message = outbox(made)
    assert "Bcc" not in message
    assert message["Subject"] == made.subject
    assert made.subject.count("utf-8") == 2


@pytest.mark.parametrize("good", ["a = b? c == d", "1=1", "=", "==", "", "what=", "ü = ?"])
def test_header_may_hold_any_other_text(good):
    assert Mail(to="a@x.org", subject=good, text="t").subject == good


def test_name_with_line_breaks_becomes_one_line_everywhere():
    made = mail("invitation", inviter_name=EVIL_NAME)
    assert made.subject == "a Bcc: x@y invites you to “The Last Reel”"
    assert "a Bcc: x@y (ana@example.org)" in made.text
    assert "<strong>a Bcc: x@y</strong> (ana@example.org)" in made.html


def test_display_name_of_10_kb_is_cut_to_100_characters():
    made = mail("invitation", inviter_name="N" * 10_000, project="P" * 10_000)
    assert len(made.subject) <= 150
    assert "N" * 99 + "…" in made.text
    assert "N" * 100 not in made.text + made.html


def test_look_alike_letters_stay_and_the_address_stands_beside_them():
    made = mail("review_link", sender_name="\u0410dmin")  # its first letter is Cyrillic
    for half in (made.text, made.html):
        assert "\u0410dmin" in half
        assert "ana@example.org" in half


def test_name_that_turns_text_or_hides_characters_loses_them():
    assert one_line("a\u202egro.live\u2066\u200b\ufeff\x1b[31m\x00b", 100) == "agro.live[31mb"
    assert (
        one_line("👩\u200d🎨 \u0646\u0627\u0645\u200c\u0647\u0627", 100)
        == "👩\u200d🎨 \u0646\u0627\u0645\u200c\u0647\u0627"
    )


def test_html_in_a_bug_report_is_shown_and_not_obeyed():
    evil = "</div><script>alert(1)</script><img src=x onerror=alert(1)> & \"'"
    made = mail("bug_report", title=evil, description=evil, reporter_name=evil, facts={evil: evil})
    tags = Tags(made.html)
    assert not [tag for tag, _ in tags.found if tag in {"script", "img"}]
    assert tags.text.count("<script>alert(1)</script>") == 6  # <title>, heading, name, text, fact, its value
    assert evil in made.text


def test_template_language_in_a_value_is_text():
    made = mail("invitation", inviter_name="{{ 7 * 7 }}", message="{% raw %}{{ config }}")
    assert "{{ 7 * 7 }}" in made.subject
    assert "> {% raw %}{{ config }}" in made.text


def test_message_cannot_pose_as_the_mail_itself():
    text = mail("invitation", message="Hi\n\nYour password has expired: https://evil.example").text
    assert "\n> Your password has expired" in text
    assert "\nYour password" not in text


def test_link_that_is_a_path_gets_the_servers_origin():
    made = mail("invitation")
    assert "https://studio.example.com/console#/invitations/sample" in made.text
    assert 'href="https://studio.example.com/console#/invitations/sample"' in made.html


@pytest.mark.parametrize(
    "link",
    ["javascript:alert(1)", "//evil.example", "/\\evil.example", "ftp://a", "https://a b", 'https://a"b',
     "https://a\nb", "data:text/html,x", "", "https://a\u202eb", "/", "HTTPS"],
)  # fmt: skip
def test_link_that_is_none_is_refused(link):
    with pytest.raises(ValueError, match="link"):
        web_address(link)
    with pytest.raises(ValueError, match="url"):
        RENDERER.checked("invitation", SAMPLES["invitation"] | {"url": link})


@pytest.mark.parametrize(
    "bad",
    ["a@x.org\r\nBcc: b@x.org", "a@x.org, b@x.org", "Ann <a@x.org>", "a@x.org;b@x.org", "a b@x.org", "@x.org",
     "a@", "a@@x.org", "a@x.org\u2028", "a@x.org\0", "a@x\u200d.org", "", "a" * 250 + "@x.org", '"a"@x.org',
     "=?utf-8?q?a?=@x.org", "=?utf-8?q?a=0D=0ABcc:_x=40y?=@x.org"],
)  # fmt: skip
def test_address_that_is_more_or_less_than_one_is_refused(bad):
    with pytest.raises(InvalidInputError):
        address(bad)


@pytest.mark.parametrize(
    "good", ["a@x.org", "o'neil+film@x.co.uk", "ünder@exämple.org", "\u0430nn@example.org"]
)
def test_address_stays_as_it_was_given(good):
    assert address(good) == good


def test_long_text_is_cut_and_its_lines_are_plain():
    assert many_lines("a\r\nb\u2028c\x85d\x1b") == "a\nb\nc\nd"
    assert len(many_lines("x" * 6_000)) == 5_000


@pytest.mark.parametrize(
    ("change", "told"),
    [({"project": None}, "project"), ({"unknown": 1}, "unknown"), ({"expires_ms": "soon"}, "expires_ms")],
)
def test_wrong_values_name_the_field_and_what_there_is(change, told):
    with pytest.raises(ValueError, match=told) as caught:
        RENDERER.checked("invitation", SAMPLES["invitation"] | change)
    assert "its values: inviter_name" in str(caught.value)


def test_unknown_template_names_those_there_are():
    with pytest.raises(ValueError, match="otp, invitation, bug_report, review_link"):
        RENDERER.checked("newsletter", {})


def test_code_stands_in_no_header():
    made = mail("otp", code="482913")
    assert "482913" in made.text
    assert "482913" not in made.subject


@pytest.mark.parametrize("field", ["to", "subject", "tags"])
@pytest.mark.parametrize(
    "evil", ["=?utf-8?q?=0D=0A?=", "==?", "\r", "\n", "\u2028", "\u2029", "\x85", "\x00", "\x1b"]
)
def test_mail_with_a_line_break_in_a_header_cannot_be_made(field, evil):
    value = f"a{evil}Bcc: x@y"
    with pytest.raises(ValidationError, match="pattern"):
        Mail(
            **{"to": "a@x.org", "subject": "s", "text": "t"} | {field: (value,) if field == "tags" else value}
        )


@every_template
def test_mail_survives_the_way_to_a_file_and_back(name, outbox):
    made = mail(name)
    message = outbox(made)
    assert (message["Subject"], message["To"]) == (made.subject, "ann@example.org")
    assert message.get_content_type() == "multipart/alternative"
    assert "Bcc" not in message
    assert max(map(len, message.as_bytes().splitlines())) <= 998  # RFC 5322, 2.1.1
