"""The `studio` command: exit codes, messages without tracebacks, and JSON that is JSON."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from studio.cli import main
from studio.model import new_id
from studio.testing.servers import free_port

pytestmark = pytest.mark.pure


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command in this process, in an empty folder; return (exit code, stdout, stderr)."""
    for name in [name for name in os.environ if name.startswith("STUDIO_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STUDIO_ENV", "test")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()

    def run(*arguments, toml="", **environ):
        (tmp_path / "config" / "test.toml").write_text(toml)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["studio", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return ended.value.code or 0, output.out, output.err

    return run


def test_check_says_ok_and_counts_the_plugins(run):
    code, out, _ = run("check")
    assert code == 0
    assert re.search(r"ok: [1-9][0-9]* plugins, environment test", out)


def test_check_ends_with_1_when_a_plugin_is_broken_and_names_it(run):
    url = "mongodb://127.0.0.1:1"
    code, out, _ = run("check", STUDIO_PLUGINS__ENABLED="auth,rbac,free", MONGODB_URL=url)
    assert code == 1
    assert "plugin rbac: blocked in order: it requires projects (off)" in out


def test_check_ends_with_78_and_names_every_wrong_key_and_no_value(run):
    toml = '[server]\nport = "hunter2"\n\n[jobs]\nconcurrency = 0\n'
    began = time.perf_counter()
    code, out, err = run("check", toml=toml, STUDIO_DATABASE__TIMEOUT_MS="hunter2")
    assert time.perf_counter() - began < 5, "nothing is started to find that out"
    assert (code, out) == (78, "")
    for name in ("STUDIO_SERVER__PORT", "STUDIO_JOBS__CONCURRENCY", "STUDIO_DATABASE__TIMEOUT_MS"):
        assert name in err
    assert "hunter2" not in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"MONGODB_URL": "http://hunter2", "REDIS_URL": "ftp://hunter2"}, ("database.url", "cache.url")),
        ({"STUDIO_PLUGINS__DISABLED": "embedded"}, ("no database: set STUDIO_DATABASE__URL",)),
        (
            {"STUDIO_ENV": "production", "STUDIO_PLUGINS__ENABLED": "embedded"},
            ("set STUDIO_DATABASE__URL", "set STUDIO_CACHE__URL"),
        ),
    ],
)
def test_check_refuses_the_addresses_that_a_start_would_refuse(run, environ, said):
    code, _, err = run("check", **environ)
    assert code == 78
    assert all(text in err for text in said)
    assert len(err.splitlines()) == 1 + len(said)
    assert "hunter2" not in err


def test_a_misspelt_variable_is_told_beside_what_is_missing(run):
    code, _, err = run("check", STUDIO_SERVER__PORT="x", STUDIO_SERVER__HOTS="0.0.0.0")
    assert code == 78
    assert "  - warning: STUDIO_SERVER__HOTS: no such setting; did you mean STUDIO_SERVER__HOST?" in err


def test_check_warns_where_nothing_is_enabled_outside_development(run):
    _, out, _ = run("check", STUDIO_ENV="preview", MONGODB_URL="mongodb://127.0.0.1:1")
    assert "plugins.enabled [STUDIO_PLUGINS__ENABLED]: names nothing, so in preview no plugin runs" in out


def test_a_named_folder_that_is_not_there_ends_with_78_outside_development(run, tmp_path):
    code, _, err = run("check", STUDIO_ENV="production", STUDIO_CONFIG_DIR=str(tmp_path / "away"))
    assert (code, f"STUDIO_CONFIG_DIR: {tmp_path / 'away'} is no folder" in err) == (78, True)


def test_another_working_folder_is_warned_of_outside_development(run, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    _, out, _ = run("check", STUDIO_ENV="preview", MONGODB_URL="mongodb://127.0.0.1:1")
    assert f"{elsewhere / 'config'} is no folder: no file of the configuration is read" in out
    assert "is no folder" not in run("check", STUDIO_ENV="test")[1]


def test_a_table_in_a_pipe_is_not_cut(run, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    _, out, _ = run("routes")
    assert "…" not in out
    assert re.search(r"GET +│ /api/plugins +│ platform:operate +│ studio", out)


def test_unreadable_toml_ends_with_78_and_names_the_file(run):
    code, _, err = run("check", toml="[server\nport = ")
    assert code == 78
    assert "test.toml" in err
    assert "Traceback" not in err


def test_an_unknown_variable_is_warned_of_with_a_near_match(run):
    code, out, _ = run("check", STUDIO_SERVER__PROT="8082")
    assert code == 0
    assert "warning: STUDIO_SERVER__PROT: no such setting; did you mean STUDIO_SERVER__PORT?" in out


def test_an_unknown_key_in_toml_ends_with_78_and_a_near_match(run):
    code, _, err = run("check", toml="[server]\nprot = 1\n")
    assert code == 78
    assert "did you mean server.port?" in err


def test_check_warns_of_an_owner_that_is_not_there(run):
    _, out, _ = run("check", STUDIO_OWNERS__COST="treasurer")
    assert "warning: owners.cost: the plugin 'treasurer' is not there" in out


def test_check_warns_where_nobody_keeps_idempotency_keys(run):
    _, out, _ = run("check", STUDIO_PLUGINS__DISABLED="idempotency")
    assert "warning: no plugin keeps idempotency keys: a write that carries one is refused" in out
    assert "idempotency keys" not in run("check", STUDIO_PLUGINS__DISABLED="")[1]


def test_plugins_list_prints_one_line_for_each_and_the_reasons_below(run):
    code, out, _ = run("plugins", "list", STUDIO_PLUGINS__DISABLED="auth")
    assert code == 0
    assert re.search(r"│ projects +│ registered", out)
    assert "auth: off in choose: disabled by [plugins] in the configuration" in out


def test_plugins_list_as_json_is_json_even_when_a_plugin_is_broken(run):
    code, out, _ = run("plugins", "list", "--json", STUDIO_PLUGINS__DISABLED="projects")
    states = {item["name"]: item["state"] for item in json.loads(out)}
    assert code == 0
    assert (states["projects"], states["rbac"], states["auth"]) == ("off", "blocked", "registered")


def test_plugins_show_tells_what_a_plugin_declares(run):
    code, out, _ = run("plugins", "show", "projects", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["distribution"] == "studio-projects"
    assert "project:read" in found["permissions"]
    assert "projects" in found["collections"]
    assert any(route.startswith("GET /api/workbench/projects") for route in found["routes"])


def test_plugins_show_of_an_unknown_name_lists_the_known_ones(run):
    code, _, err = run("plugins", "show", "nobody")
    assert code == 1
    assert "no plugin 'nobody' is installed; known: " in err
    assert "projects" in err


def test_openapi_prints_a_document_with_the_routes_of_plugins(run):
    code, out, _ = run("openapi")
    document = json.loads(out)
    assert (code, document["openapi"]) == (0, "3.1.0")
    assert "/api/workbench/projects" in document["paths"]


def test_routes_lists_method_path_permission_and_plugin(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = run("routes")
    assert code == 0
    assert re.search(r"GET +│ /api/plugins +│ platform:operate +│ studio", out)


def test_an_unknown_command_ends_with_2(run):
    code, _, err = run("fly")
    assert code == 2
    assert "fly" in err


def test_the_policy_fail_ends_a_command_with_1_and_no_traceback(run):
    policy = {"STUDIO_PLUGINS__DISABLED": "projects", "STUDIO_PLUGINS__ON_FAILURE": '{"rbac": "fail"}'}
    code, _, err = run("check", **policy)
    assert code == 1
    assert "plugin 'rbac' failed in order" in err
    assert "Traceback" not in err


def child(tmp_path, port, *arguments, **environ):
    variables = {k: v for k, v in os.environ.items() if not k.startswith("STUDIO_")} | {
        "STUDIO_ENV": "test",
        "STUDIO_SERVER__PORT": str(port),
        "STUDIO_PLUGINS__DISABLED": "embedded,streaq",
        **environ,
    }
    command = [sys.executable, "-m", "studio", *arguments]
    return subprocess.Popen(
        command, cwd=tmp_path, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.child
def test_serve_on_a_port_in_use_says_so_and_ends_with_1(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = child(tmp_path, port, "serve")
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in err
    assert f"studio serve --port {port + 1}" in err
    assert "Traceback" not in err


@pytest.mark.child
@pytest.mark.database
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_serve_with_0_within_ten_seconds(tmp_path, database_server_url, number):
    port = free_port()
    names = {
        f"STUDIO_DATABASE__{kind}_NAME": f"{kind[:2].lower()}{new_id().lower()}"
        for kind in ("STUDIO", "STORIES")
    }
    process = child(tmp_path, port, "serve", STUDIO_DATABASE__URL=database_server_url, **names)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
                if answer.status == 200:
                    break
        except (URLError, ConnectionError):
            time.sleep(0.05)
    process.send_signal(number)
    began = time.monotonic()
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 10
    assert process.returncode == 0, err
    assert "Traceback" not in err


@pytest.mark.parametrize(("name", "told"), [({}, "none"), ({"name": "plugins"}, "'plugins'")])
def test_a_group_of_a_plugin_needs_a_name_that_is_free(monkeypatch, capsys, name, told):
    from types import SimpleNamespace

    import typer

    from studio import cli

    found = [("bad", typer.Typer(**name)), ("good", typer.Typer(name="good"))]
    registry = SimpleNamespace(all=lambda _: found)
    monkeypatch.setattr(cli.inspect, "platform", lambda: SimpleNamespace(registry=registry))
    monkeypatch.setattr(cli.app, "registered_groups", [*cli.app.registered_groups])
    cli._add_plugin_commands(["good"])
    assert f"plugin bad: its typer.Typer needs a name that is free, not {told}\n" in capsys.readouterr().err
    assert [g.typer_instance for g in cli.app.registered_groups][-1] is found[1][1]
    assert found[0][1] not in [g.typer_instance for g in cli.app.registered_groups]
