"""The plugin as the kernel sees it, and the programs it looks for."""

from __future__ import annotations

import platform
from importlib import metadata

import pytest
from typer.testing import CliRunner

from studio import ConfigError
from studio_embedded import programs
from studio_embedded.commands import build_commands
from studio_embedded.errors import EmbeddedServerError
from studio_embedded.plugin import Plugin, build_servers
from studio_embedded.settings import EmbeddedSettings

pytestmark = pytest.mark.child


@pytest.fixture
def uninstalled(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    monkeypatch.setenv("PATH", "")
    for found in (programs.database_command, programs.cache_command):
        found.cache_clear()
    yield monkeypatch
    for found in (programs.database_command, programs.cache_command):
        found.cache_clear()


def test_production_is_refused_naming_both_settings(tmp_path, context):
    with pytest.raises(ConfigError) as refused:
        Plugin().database_backend(context(tmp_path, environment="production"))
    assert len(refused.value.problems) == 2
    assert "STUDIO_DATABASE__URL" in refused.value.problems[0]
    assert "STUDIO_CACHE__URL" in refused.value.problems[1]
    assert not (tmp_path / "studio").exists()


def test_production_refuses_only_what_has_no_url(tmp_path, context):
    ctx = context(tmp_path, environment="production", database_url="mongodb://db")
    assert Plugin().database_backend(ctx) is None
    with pytest.raises(ConfigError, match="STUDIO_CACHE__URL"):
        Plugin().cache_backend(ctx)


def test_configured_urls_leave_the_plugin_nothing_to_do(tmp_path, context):
    ctx = context(tmp_path, database_url="mongodb://db", cache_url="redis://cache")
    plugin = Plugin()
    assert plugin.database_backend(ctx) is None
    assert plugin.cache_backend(ctx) is None
    assert plugin.register_health_checks(ctx) == []


async def test_backends_start_together_and_stop_one_by_one(tmp_path, mongo, redis, context):
    plugin, ctx = Plugin(), context(tmp_path)
    checks = {check.name: check.probe for check in plugin.register_health_checks(ctx)}
    async with plugin.database_backend(ctx) as database_url:
        assert "restarts 0" in await checks["embedded-cache"]()  # started along with the database
        async with plugin.cache_backend(ctx) as cache_url, redis(cache_url) as client:
            assert await client.ping()
        with pytest.raises(EmbeddedServerError, match="is down"):
            await checks["embedded-cache"]()
        async with mongo(database_url) as client:
            assert (await client.admin.command("ping"))["ok"] == 1
        async with plugin.cache_backend(ctx) as again:
            assert again == cache_url
    with pytest.raises(EmbeddedServerError):
        await checks["embedded-database"]()


async def test_failed_database_takes_the_cache_along(tmp_path, monkeypatch, until, context):
    monkeypatch.setattr(programs, "database_command", lambda: ["/nowhere/secantusd"])
    plugin, ctx = Plugin(), context(tmp_path)
    with pytest.raises(OSError, match="nowhere"):
        async with plugin.database_backend(ctx):
            pass
    await until(lambda: not build_servers(ctx.settings(EmbeddedSettings))["cache"].status().running)


def test_missing_database_names_the_command_and_the_setting(uninstalled):
    with pytest.raises(ConfigError) as missing:
        programs.database_command()
    assert "pip install 'studio-embedded[embedded]'" in str(missing.value)
    assert "STUDIO_DATABASE__URL (short: MONGODB_URL)" in str(missing.value)


def test_unsupported_python_is_named(uninstalled):
    uninstalled.setattr(programs.sys, "version_info", (3, 14, 1))
    uninstalled.setattr(platform, "python_version", lambda: "3.14.1")
    with pytest.raises(ConfigError, match=r"no build of it for Python 3\.14\.1.*use Python 3\.11 to 3\.13"):
        programs.database_command()


def test_missing_cache_names_the_command_the_setting_and_redis(uninstalled):
    with pytest.raises(ConfigError) as missing:
        programs.cache_command()
    for hint in ("pip install 'studio-embedded[embedded]'", "STUDIO_CACHE__URL", "redis-server of version 7"):
        assert hint in str(missing.value)


@pytest.mark.parametrize(
    ("version", "accepted"), [("v=7.2.4 sha=0", True), ("v=6.2.1 sha=0", False), ("?", False)]
)
def test_redis_on_the_path_is_taken_from_version_7_on(uninstalled, tmp_path, version, accepted):
    server = tmp_path / "redis-server"
    server.write_text(f"#!/bin/sh\necho 'Redis server {version}'\n")
    server.chmod(0o755)
    uninstalled.setenv("PATH", str(tmp_path))
    if accepted:
        assert programs.cache_command() == [str(server)]
    else:
        with pytest.raises(ConfigError):
            programs.cache_command()


def test_settings_refuse_unknown_keys_and_nonsense():
    with pytest.raises(ValueError, match="database_cache_size"):
        EmbeddedSettings(database_cache_size="plenty")
    with pytest.raises(ValueError, match="datadir"):
        EmbeddedSettings(datadir="x")


def test_commands_tell_what_is_stopped(tmp_path, context):
    ctx = context(tmp_path)
    group = build_commands(build_servers(ctx.settings(EmbeddedSettings)))
    assert "database: stopped" in CliRunner().invoke(group, ["status"]).output
    assert CliRunner().invoke(group, ["stop"]).exit_code == 0
    urls = CliRunner().invoke(group, ["urls"])
    assert urls.exit_code == 1
    assert "studio serve" in urls.output


async def test_commands_show_running_servers_and_their_owner(tmp_path, context):
    plugin, ctx = Plugin(), context(tmp_path)
    group = build_commands(build_servers(ctx.settings(EmbeddedSettings)))
    async with plugin.database_backend(ctx) as database_url, plugin.cache_backend(ctx) as cache_url:
        status = CliRunner().invoke(group, ["status"]).output
        urls = CliRunner().invoke(group, ["urls"]).output
    assert status.count("owned by process") == 2
    assert urls == f"STUDIO_DATABASE__URL={database_url}\nSTUDIO_CACHE__URL={cache_url}\n"


async def test_a_process_beside_a_server_uses_what_that_one_runs_and_starts_nothing(tmp_path, context):
    serving, beside = context(tmp_path), context(tmp_path, beside=True)
    plugin = Plugin()
    with pytest.raises(EmbeddedServerError, match="`studio serve` first"):
        async with Plugin().database_backend(beside):
            pass
    async with plugin.database_backend(serving) as url:
        async with Plugin().database_backend(beside) as same:
            assert same == url
        assert (await plugin.register_health_checks(serving)[0].probe()).startswith("pid ")
