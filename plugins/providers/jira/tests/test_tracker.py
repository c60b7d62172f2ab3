"""Issues: filed once, found again, never filed blindly, and nothing of a secret in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

import studio
from studio import (
    Issue,
    OutcomeUnknownError,
    PayloadTooLargeError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    StudioError,
)
from studio.testing.client import serving
from studio_jira.models import document, label_of, paragraph
from studio_jira.plugin import Plugin
from studio_jira.settings import JiraSettings

pytestmark = pytest.mark.http
ERRORS = json.loads((Path(__file__).parent / "payloads" / "errors.json").read_text())


def issue(**changed):
    named = {"title": "It breaks", "body": "First.\nSecond.\n\nThird.", "label": "report-1"}
    return Issue(**named | changed)


async def test_an_issue_is_filed_as_jira_wants_it(tracker_at, jira):
    tracker = tracker_at(jira.url, priority_id="2")
    key = await tracker.create_issue(issue(labels=("a b",), context={"url": "/x", "n": 1}))
    assert key == "STU-24"
    [call] = jira.calls
    assert (call.method, call.path) == ("POST", "/rest/api/3/issue")
    assert call.headers["authorization"].startswith("Basic ")
    assert call.json == {
        "fields": {
            "project": {"key": "STU"},
            "issuetype": {"name": "Bug"},
            "summary": "It breaks",
            "labels": ["report-1", "a-b", "studio"],
            "priority": {"id": "2"},
            "description": {
                "type": "doc",
                "version": 1,
                "content": [
                    {
                        "type": "paragraph",
                        "content": [
                            {"type": "text", "text": "First."},
                            {"type": "hardBreak"},
                            {"type": "text", "text": "Second."},
                        ],
                    },
                    {"type": "paragraph", "content": [{"type": "text", "text": "Third."}]},
                    {
                        "type": "codeBlock",
                        "attrs": {"language": "json"},
                        "content": [{"type": "text", "text": '{\n  "url": "/x",\n  "n": 1\n}'}],
                    },
                ],
            },
        }
    }


@pytest.mark.parametrize(
    "odd",
    [
        {"title": "x" * 5_000},
        {"title": "two\r\nlines\u2028three"},
        {"title": "   "},
        {"body": ""},
        {"body": "\n\n \n\t\n"},
        {"body": "a\n\n\n\n\n\nb\n \nc"},
        {"body": "x" * 100_000, "context": {"log": "y" * 100_000}},
        {"body": "\r\nwin\r\n\r\ndows\r\n"},
        {"context": {"when": Path("/x"), "ä": "ö"}},
        {"label": "re port\t2", "labels": ("", " ", "x y") [2:]},
    ],
)  # fmt: skip
async def test_whatever_was_reported_is_made_fit_for_jira(tracker_at, jira, odd):
    key = await tracker_at(jira.url).create_issue(issue(**odd))
    fields = jira.issues[key]["fields"]
    assert 0 < len(fields["summary"]) <= 255


def test_a_document_has_no_empty_text():
    assert paragraph(" \n\t") is None
    assert document(issue(body=""))["content"] == [
        {"type": "paragraph", "content": [{"type": "text", "text": "No description."}]}
    ]
    nodes = paragraph("a\n\nb")["content"]
    assert [node["type"] for node in nodes] == ["text", "hardBreak", "hardBreak", "text"]


@pytest.mark.parametrize("mode", ["lost", "cut", "500"])
async def test_an_answer_that_got_lost_is_never_a_second_issue(tracker_at, jira, mode):
    jira.fail(mode, r"/issue$")
    tracker = tracker_at(jira.url)
    with pytest.raises(OutcomeUnknownError):
        await tracker.create_issue(issue())
    assert len(jira.asked("POST", r"/issue$")) == 1
    found = await tracker.find_issue("report-1")
    assert found == ("STU-24" if mode == "lost" else None)


async def test_nothing_is_left_to_doubt_when_jira_was_never_reached_or_says_wait(tracker_at, jira):
    with pytest.raises(ProviderError) as caught:
        await tracker_at("http://127.0.0.1:9").create_issue(issue())
    assert caught.value.code == "provider_unreachable"
    jira.fail("429")
    with pytest.raises(ProviderError) as caught:
        await tracker_at(jira.url).create_issue(issue())
    assert (type(caught.value), caught.value.retry_after) == (ProviderError, 1)


async def test_an_issue_is_found_by_its_label_in_its_own_project(tracker_at, jira):
    tracker = tracker_at(jira.url)
    first = await tracker.create_issue(issue(label="re port"))
    await tracker.create_issue(issue(label="re port"))
    assert await tracker.find_issue("re port") == first
    assert await tracker.find_issue("report") is None
    query = jira.asked("POST", "search/jql")[0].json
    assert query == {
        "jql": 'project = "STU" AND labels = "re-port" ORDER BY created ASC',
        "maxResults": 1,
        "fields": ["key"],
    }


@pytest.mark.parametrize("label", ['x" OR project = "SECRET', "x\\", "a'b", 'x\ny"'])
async def test_a_label_cannot_become_another_search(tracker_at, jira, label):
    tracker = tracker_at(jira.url)
    assert await tracker.find_issue(label) is None
    assert await tracker.create_issue(issue(label=label)) == await tracker.find_issue(label)


@pytest.mark.parametrize("label", ["", " ", '"', "--"])
def test_a_label_of_nothing_is_refused(label):
    with pytest.raises(ProviderRejectedError):
        label_of(label)


async def test_an_empty_page_with_a_token_is_no_answer_yet(tracker_at, jira):
    tracker = tracker_at(jira.url)
    key = await tracker.create_issue(issue())
    jira.pages_before = 2
    assert await tracker.find_issue("report-1") == key
    assert jira.calls[-1].json["nextPageToken"] == "more"


async def test_a_token_that_is_not_good_never_looks_like_an_issue_that_is_not_there(tracker_at, jira):
    await tracker_at(jira.url).create_issue(issue())
    jira.stranger = True
    with pytest.raises(ProviderUnavailableError):
        await tracker_at(jira.url, api_token="another").find_issue("report-1")


async def test_a_file_is_attached_with_its_name_and_type(tracker_at, jira, tmp_path):
    path = tmp_path / 'sc"reen\r\nshot.png'
    path.write_bytes(b"\x89PNG")
    tracker = tracker_at(jira.url)
    key = await tracker.create_issue(issue())
    attachment = await tracker.attach(key, path, "image/png")
    [kept] = jira.issues[key]["attachments"]
    assert (kept["id"], kept["mimeType"], kept["bytes"]) == (attachment, "image/png", b"\x89PNG")
    call = jira.calls[-1]
    assert call.path == "/rest/api/3/issue/STU-24/attachments"
    assert call.headers["x-atlassian-token"] == "no-check"


async def test_a_file_that_is_too_large_is_refused_here_or_there(tracker_at, jira, tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(b"x" * 2_000_000)
    key = await tracker_at(jira.url).create_issue(issue())
    with pytest.raises(PayloadTooLargeError):
        await tracker_at(jira.url, attachment_bytes=1_999_999).attach(key, path, "video/mp4")
    with pytest.raises(ProviderRejectedError) as caught:
        await tracker_at(jira.url).attach(key, path, "video/mp4")
    assert caught.value.code == "attachment_too_large"


@pytest.mark.parametrize("key", ["", "STU", "STU-1/../..", "stu-1", "STU-1?x", "-1"])
async def test_a_key_that_is_none_is_refused_before_anything_is_sent(tracker_at, jira, key, tmp_path):
    with pytest.raises(ProviderRejectedError):
        await tracker_at(jira.url).attach(key, tmp_path / "x", "text/plain")
    assert jira.calls == []


async def test_an_attachment_whose_answer_got_lost_is_not_attached_twice(tracker_at, jira, tmp_path):
    (tmp_path / "x.txt").write_text("x")
    tracker = tracker_at(jira.url)
    key = await tracker.create_issue(issue())
    jira.fail("lost", "attachments")
    with pytest.raises(OutcomeUnknownError):
        await tracker.attach(key, tmp_path / "x.txt", "text/plain")
    assert len(jira.issues[key]["attachments"]) == 1


@pytest.mark.parametrize("case", ERRORS, ids=lambda c: f"{c['status']}-{c['expect'][1]}")
async def test_every_answer_has_one_meaning(tracker_at, canned, case):
    answer = {name: case.get(name) for name in ("status", "body", "headers", "text")}
    async with canned(**answer).serving() as vendor:
        with pytest.raises(StudioError) as caught:
            await tracker_at(vendor.url).create_issue(issue())
    kind, code, field, words = case["expect"]
    assert (type(caught.value), caught.value.code) == (getattr(studio, kind), code)
    assert caught.value.extra.get("input") == field
    assert words in caught.value.detail
    assert len(vendor.calls) == 1


@pytest.mark.parametrize("mode", ["malformed", "wrong_type", "huge"])
async def test_an_answer_of_another_kind_is_an_error(tracker_at, jira, mode):
    jira.fail(mode, times=9)
    with pytest.raises(ProviderError):
        await tracker_at(jira.url).find_issue("report-1")


async def test_an_oauth_token_goes_through_the_gateway(tracker_at, jira, jira_fakes):
    oauth = {"gateway": jira.url, "cloud_id": jira_fakes.CLOUD, "access_token": jira_fakes.ACCESS}
    tracker = tracker_at(None, api_token=None, email=None, **oauth)
    key = await tracker.create_issue(issue())
    assert await tracker.find_issue("report-1") == key
    assert jira.calls[0].path == f"/ex/jira/{jira_fakes.CLOUD}/rest/api/3/issue"


async def test_no_secret_of_the_installation_leaves_the_house(tmp_path, jira, jira_fakes):
    named = {
        "JIRA_URL": jira.url,
        "JIRA_EMAIL": jira_fakes.EMAIL,
        "JIRA_API_TOKEN": jira_fakes.TOKEN,
        "JIRA_PROJECT_KEY": "STU",
        "RESEND_API_KEY": "re_canary_0123456789",
    }
    async with serving(tmp_path, **named) as anonymous:
        tracker = anonymous.studio.services.providers.get("issue_tracker")
        said = "the key re_canary_0123456789 and mongodb://ann:hunter22@db/x"
        await tracker.create_issue(issue(title=said, body=said, context={"log": said}))
        named = [p for p in anonymous.studio.services.providers.describe() if p["provider"] == "jira"]
    assert named[0]["available"] is True
    sent = jira.calls[-1].body.decode()
    assert "canary" not in sent
    assert "hunter22" not in sent


def test_settings_say_what_is_missing_for_each_way_in():
    class Context:
        def __init__(self, **values):
            self.values = JiraSettings(**values)

        def settings(self, model):
            return self.values

    def missing(**values):
        [spec] = Plugin().register_providers(Context(**values))
        return spec.missing

    way = {"url": "https://x.atlassian.net", "email": "a@b.c", "api_token": "t"}
    assert missing() == (
        "set STUDIO_JIRA__URL, STUDIO_JIRA__EMAIL, STUDIO_JIRA__API_TOKEN, STUDIO_JIRA__PROJECT"
    )
    assert missing(**way) == "set STUDIO_JIRA__PROJECT"
    assert missing(**way, project="STU") is None
    assert missing(access_token="t", project="STU") == "set STUDIO_JIRA__CLOUD_ID"
    assert missing(**way, access_token="t", project="STU") is None
    assert missing(refresh_token="t", project="STU") == (
        "set STUDIO_JIRA__CLOUD_ID, STUDIO_JIRA__CLIENT_ID, STUDIO_JIRA__CLIENT_SECRET"
    )
    app = {"client_id": "i", "client_secret": "s"}
    assert missing(refresh_token="t", cloud_id="c", project="STU", **app) is None
    assert missing(**way | {"url": None}, access_token="t", cloud_id="c", project="STU") is None
    for bad in ({"url": "http://x.org"}, {"project": "stu"}):
        with pytest.raises(ValidationError):
            JiraSettings(**bad)
