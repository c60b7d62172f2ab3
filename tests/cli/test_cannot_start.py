"""`studio serve` where it cannot start: one message that says what to do, an exit code, and no traceback."""

from __future__ import annotations

import signal
import socket

import pytest

from studio.testing.servers import free_port

pytestmark = pytest.mark.child
NO_DATABASE = "Start it, or correct database.url (STUDIO_DATABASE__URL, MONGODB_URL)"


def refused(run, code, *said, **environ):
    ended, out, err = run("serve", **environ)
    assert ended == code, err
    assert "Traceback" not in out + err
    assert "hunter2" not in out + err
    for text in said:
        assert text in err


def test_a_database_that_nobody_serves_ends_with_69_and_its_address(run):
    port = free_port()
    where = f"the database at 127.0.0.1:{port} cannot be used: "
    refused(run, 69, where, NO_DATABASE, MONGODB_URL=f"mongodb://ann:hunter2@127.0.0.1:{port}/?authSource=a")


def test_a_database_that_accepts_and_says_nothing_ends_with_69(run):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mongodb://127.0.0.1:{silent.getsockname()[1]}"
        refused(run, 69, "cannot be used", MONGODB_URL=url, STUDIO_DATABASE__TIMEOUT_MS="300")


@pytest.mark.parametrize("url", ["mongodb://ann:hunter2@127.0.0.1:port/", "mongodb://", "http://127.0.0.1"])
def test_a_database_url_that_cannot_be_read_ends_with_78(run, url):
    refused(run, 78, "The configuration has errors", "database.url cannot be read", MONGODB_URL=url)


def test_a_cache_url_that_cannot_be_read_ends_with_78(run):
    refused(run, 78, "cache.url cannot be read", MONGODB_URL="mongodb://127.0.0.1:1", REDIS_URL="http://x")


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("no-such-host.invalid", "cannot listen on no-such-host.invalid:"),
        ("192.0.2.1", "cannot listen on 192.0.2.1:"),
    ],
)
def test_an_address_of_no_machine_or_of_another_ends_with_1_and_names_the_setting(run, host, said):
    refused(run, 1, said, "server.host (STUDIO_SERVER__HOST)", STUDIO_SERVER__HOST=host)


def test_no_database_at_all_ends_with_78_and_names_both_ways_out(run):
    refused(run, 78, "set STUDIO_DATABASE__URL (or MONGODB_URL), or pip install studio-embedded")


def test_nobody_is_enabled_by_an_empty_list_and_the_owners_are_missed(run):
    said = "owners.authenticate: the plugin 'auth' is not there"
    refused(run, 78, said, "no database", STUDIO_PLUGINS__ENABLED="", STUDIO_PLUGINS__DISABLED="")


def test_a_server_whose_folder_another_process_has_ends_with_69_and_names_it(run, command):
    command.environ["STUDIO_PLUGINS__DISABLED"] = "streaq"
    first = command.start("serve")
    command.ready(first)
    refused(run, 69, str(first.pid), STUDIO_PLUGINS__DISABLED="streaq")
    assert command.end(first)[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_during_the_start_ends_it_with_0(command, number):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        url = f"mongodb://127.0.0.1:{silent.getsockname()[1]}"
        child = command.start("serve", MONGODB_URL=url, STUDIO_DATABASE__TIMEOUT_MS="60000")
        silent.accept()[0].close()  # it is connecting: the start is under way
        code, said, _ = command.end(child, number)
    assert code == 0, said
    assert "Traceback" not in said
    assert '"ready"' not in said


@pytest.mark.database
def test_a_cache_that_is_away_costs_a_warning_and_not_the_start(installation):
    child = installation.start("serve", REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    installation.ready(child)
    cache = installation.get("/readyz")[1]["checks"]["cache"]
    assert (cache["ok"], cache["critical"]) == (False, False)
    code, said, _ = installation.end(child)
    assert code == 0
    assert "cache_unavailable" in said
    assert "Traceback" not in said
