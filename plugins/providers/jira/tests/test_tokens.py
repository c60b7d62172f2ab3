"""OAuth tokens that are renewed: once for all processes, again when Jira refuses one, never lost by a restart."""

from __future__ import annotations

import asyncio
import json
import stat

import pytest

from studio import Issue, ProviderError, ProviderUnavailableError
from studio_jira import tokens

pytestmark = pytest.mark.http


def issue(label="report-1"):
    return Issue(title="It breaks", body="First.", label=label)


@pytest.fixture
def kept_in(tmp_path):
    return tmp_path / "kept" / "token.json"


@pytest.fixture
def renewing(tracker_at, jira, jira_fakes, kept_in):
    """Return a maker of trackers that renew their token: each is a process of its own."""

    def make(**changed):
        app = {"client_id": jira_fakes.CLIENT, "client_secret": jira_fakes.CLIENT_SECRET}
        way = app | {"cloud_id": jira_fakes.CLOUD, "refresh_token": jira_fakes.REFRESH, "token_file": kept_in}
        return tracker_at(
            None, email=None, api_token=None, gateway=jira.url, auth_url=jira.url, **way | changed
        )

    return make


async def test_a_token_is_asked_for_once_and_used_through_the_gateway(renewing, jira, jira_fakes):
    tracker = renewing()
    key = await tracker.create_issue(issue())
    assert await tracker.find_issue("report-1") == key
    renewal, *calls = jira.calls
    assert (renewal.method, renewal.path) == ("POST", "/oauth/token")
    assert renewal.json == {
        "grant_type": "refresh_token", "client_id": jira_fakes.CLIENT, "client_secret": jira_fakes.CLIENT_SECRET,
        "refresh_token": jira_fakes.REFRESH,
    }  # fmt: skip
    assert "authorization" not in renewal.headers
    assert {call.headers["authorization"] for call in calls} == {"Bearer access-1"}


async def test_the_next_refresh_token_is_kept_for_its_owner_only_and_a_restart_uses_it(
    renewing, jira, kept_in
):
    jira.expires_in = 61
    await renewing().create_issue(issue())
    assert stat.S_IMODE(kept_in.stat().st_mode) == 0o600
    kept = json.loads(kept_in.read_text())
    assert (kept["access_token"], kept["refresh_token"]) == ("access-1", "refresh-1")
    await renewing().create_issue(issue())
    assert jira.renewals == 1
    kept_in.write_text(json.dumps(kept | {"expires_at": kept["expires_at"] - 60}))
    await renewing().create_issue(issue())
    assert [call.json["refresh_token"] for call in jira.asked("POST", "/oauth/token")][1:] == ["refresh-1"]
    assert [path.name for path in kept_in.parent.iterdir()] == ["token.json"]


async def test_many_calls_at_once_renew_once(renewing, jira):
    tracker = renewing()
    await asyncio.gather(*(tracker.create_issue(issue(f"r-{n}")) for n in range(5)))
    assert (jira.renewals, len(jira.issues)) == (1, 5)


async def test_a_token_that_jira_refuses_is_renewed_and_the_call_repeated_once(renewing, jira):
    tracker = renewing()
    await tracker.create_issue(issue())
    jira.access = "revoked by somebody"
    await tracker.create_issue(issue("report-2"))
    assert (jira.renewals, len(jira.issues)) == (2, 2)
    assert len(jira.asked("POST", "/issue$")) == 3


async def test_who_was_too_late_takes_the_token_of_the_other_process(renewing, jira, kept_in, monkeypatch):
    await renewing().create_issue(issue())  # the other process has renewed
    late, whole = renewing(), kept_in.read_bytes()
    kept_in.unlink()  # not there yet, when this one looks
    asked = late._tokens._http.request

    async def meanwhile(*args, **content):
        kept_in.write_bytes(whole)
        return await asked(*args, **content)

    monkeypatch.setattr(late._tokens._http, "request", meanwhile)
    await late.create_issue(issue("report-2"))
    assert jira.renewals == 1
    assert jira.calls[-1].headers["authorization"] == "Bearer access-1"


async def test_the_other_process_may_still_be_about_to_write_its_file(renewing, jira, kept_in, monkeypatch):
    await renewing().create_issue(issue())
    late, whole, reads = renewing(), kept_in.read_bytes(), []
    kept_in.unlink()
    usual = tokens._read

    def third_time(path):
        reads.append(path)
        if len(reads) == 3:  # before it asks, after it was refused, and then
            path.write_bytes(whole)
        return usual(path)

    monkeypatch.setattr(tokens, "_read", third_time)
    monkeypatch.setattr(tokens, "LATE_S", (0.0, 0.0))
    await late.create_issue(issue("report-2"))
    assert jira.calls[-1].headers["authorization"] == "Bearer access-1"


async def test_a_refresh_token_that_is_spent_says_what_to_do(renewing, jira, monkeypatch):
    monkeypatch.setattr(tokens, "LATE_S", (0.0,))
    jira.refresh = "another"
    with pytest.raises(ProviderUnavailableError, match="STUDIO_JIRA__REFRESH_TOKEN") as raised:
        await renewing().create_issue(issue())
    assert raised.value.code == "provider_key_refused"
    assert jira.issues == {}


async def test_a_refresh_token_that_is_set_anew_counts_before_the_file(renewing, jira):
    await renewing().create_issue(issue())
    jira.refresh = "set anew"
    await renewing(refresh_token="set anew").create_issue(issue())
    assert jira.renewals == 2


@pytest.mark.parametrize("mode", ["malformed", "wrong_type", "huge"])
async def test_an_answer_that_is_no_token_is_an_error_and_nothing_is_filed(renewing, jira, mode, kept_in):
    jira.fail(mode, "/oauth/token$", times=9)
    with pytest.raises(ProviderError):
        await renewing().create_issue(issue())
    assert jira.issues == {}
    assert not kept_in.exists()


async def test_a_file_that_cannot_be_written_costs_no_issue(renewing, jira, kept_in):
    kept_in.parent.write_text("a file where the folder should be")
    tracker = renewing()
    for number in range(2):
        await tracker.create_issue(issue(f"r-{number}"))
    assert (jira.renewals, len(jira.issues)) == (1, 2)


async def test_a_file_that_is_none_is_as_good_as_no_file(renewing, jira, kept_in):
    kept_in.parent.mkdir()
    kept_in.write_text('{"access_token": ')
    await renewing().create_issue(issue())
    assert jira.renewals == 1
