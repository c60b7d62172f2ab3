"""The Python client of Jira before the fake of our tests: the same issue, search and attachment as ours."""

from __future__ import annotations

import asyncio
import json

import pytest
import structlog

from studio import Issue, PluginContext
from studio.testing.kit import HttpClients, Metrics, Services

pytestmark = pytest.mark.peer
SDK = ["jira==3.10.5"]
ISSUE = Issue(title="It breaks", body="Here.\n\nAnd there.", label="report-1", context={"url": "/x"})


@pytest.fixture
async def tracker_at():
    from studio_jira.client import JiraIssueTracker
    from studio_jira.settings import JiraSettings

    services = Services()
    services.metrics = Metrics()
    services.http = HttpClients(services.metrics)

    def build(url, email, token):
        named = JiraSettings(url=url, email=email, api_token=token, project="STU")
        return JiraIssueTracker(PluginContext("jira", services, named, structlog.get_logger()))

    yield build
    await services.http.close()


async def test_the_client_sends_what_we_send_and_reads_the_answers_of_the_fake(
    load_fake, oracle, tracker_at, tmp_path
):
    fakes, path = load_fake("jira"), tmp_path / "log.txt"
    path.write_text("a line")
    async with fakes.FakeJira().serving() as fake:
        tracker = tracker_at(fake.url, fakes.EMAIL, fakes.TOKEN)
        key = await tracker.create_issue(ISSUE)
        assert await tracker.find_issue("report-1") == key
        await tracker.attach(key, path, "text/plain")
        create, search, attach = fake.calls
        fake.calls.clear()
        told = json.loads(
            await asyncio.to_thread(
                oracle, "jira_sdk.py", SDK, fake.url, fakes.EMAIL, fakes.TOKEN, json.dumps(create.json["fields"]),
                search.json["jql"], str(path),
            )
        )  # fmt: skip
    theirs = {(call.method, call.path.replace(told["key"], key)): call for call in reversed(fake.calls)}
    for own in (create, search, attach):
        their = theirs[own.method, own.path]
        assert their.headers["authorization"] == own.headers["authorization"]
        assert (
            their.headers["content-type"].partition(";")[0] == own.headers["content-type"].partition(";")[0]
        )
    assert theirs["POST", create.path].json == create.json
    assert theirs["POST", search.path].json["jql"] == search.json["jql"]
    assert theirs["POST", attach.path].headers["x-atlassian-token"] == attach.headers["x-atlassian-token"]
    assert told["key"] == "STU-25"
    assert [issue["key"] for issue in told["found"]["issues"]] == [key]
    assert [kept["bytes"] for kept in fake.issues["STU-25"]["attachments"]] == [b"a line"]
    assert (
        told["error"] == [400, "summary: You must specify a summary of the issue."] or told["error"][0] == 400
    )
