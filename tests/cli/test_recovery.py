"""Three failed starts in a row and the fourth is a recovery: what crashed is left out, and the way back is told."""

from __future__ import annotations

import json
import os

import pytest

from studio.cli.recovery import Starts
from studio.settings import PluginsSettings

CRASHES = {
    "crash_at_import": "import os\nos._exit(9)\n",
    "crash_at_start": """
        import asyncio, contextlib, os
        from studio import Manifest, StudioHooks, hookimpl
        class Plugin(StudioHooks):
            manifest = Manifest("bad")
            @hookimpl
            @contextlib.asynccontextmanager
            async def lifespan(self, ctx):
                os.kill(os.getpid(), 9)
                yield
    """,
    "required": """
        from studio import Manifest, StudioHooks
        class Plugin(StudioHooks):
            manifest = Manifest("bad", required=True)
            def __init__(self):
                pass
            register_routes = 7
    """,
}
NAMED = {
    "crash_at_import": "import of plugin 'bad'",
    "crash_at_start": "plugin 'bad'",
    "required": "plugin 'bad' failed",
}


def crash(command, times=3):
    for _ in range(times):
        child = command.start("serve")
        assert child.wait(60) != 0, child.log.read_text()
    return child.log.read_text()


@pytest.mark.child
@pytest.mark.database
@pytest.mark.parametrize(("how", "times"), [("crash_at_import", 3), ("crash_at_start", 1), ("required", 1)])
def test_the_start_after_so_many_crashes_serves_without_what_crashed(installation, how, times):
    if times != 3:
        installation.environ["STUDIO_PLUGINS__RECOVERY_AFTER"] = str(times)
    installation.install(CRASHES[how])
    crash(installation, times)
    child = installation.start("serve")
    installation.ready(child, "/healthz")
    status, health = installation.get("/readyz")
    assert status == 503
    assert [name for name, check in health["checks"].items() if check["critical"] and not check["ok"]] == [
        "recovery"
    ]
    said = child.log.read_text()
    assert f"recovery mode: the last {times} starts failed" in said
    assert NAMED[how] in said
    assert "that start is a whole one" in said
    code, out, _ = installation.run("plugins", "list", "--json")
    states = {item["name"]: (item["state"], item["error"]) for item in json.loads(out)}
    assert code == 0
    assert states["bad"] == states["stories"] == ("off", "left out by the recovery mode")
    assert {states[name][0] for name in ("auth", "limits", "projects", "rbac")} == {"registered"}
    assert f"recovery mode: the last {times} starts failed" in installation.run("plugins", "list")[1]
    assert installation.end(child)[0] == 0


@pytest.mark.child
@pytest.mark.database
def test_a_recovery_tells_an_administrator_why_and_a_stop_is_the_way_out(installation):
    installation.environ |= {"STUDIO_AUTH__SECRET": "s" * 40, "STUDIO_AUTH__ADMINS": "ann@example.org"}
    child = installation.start("serve")
    installation.ready(child)
    token = installation.sign_in("ann@example.org")
    assert installation.get("/api/plugins", token)[1]["recovery"] is None
    assert installation.end(child)[0] == 0
    installation.install(CRASHES["crash_at_import"])
    installation.environ["STUDIO_PLUGINS__RECOVERY_AFTER"] = "1"
    crash(installation, 1)
    child = installation.start("serve")
    installation.ready(child, "/healthz")
    status, found = installation.get("/api/plugins", token)
    assert status == 200
    assert "import of plugin 'bad'" in found["recovery"]
    installation.end(child)
    installation.environ["STUDIO_PLUGINS__DISABLED"] += ",bad"
    child = installation.start("serve")
    installation.ready(child)
    assert installation.end(child)[0] == 0


@pytest.mark.child
@pytest.mark.database
def test_two_crashes_and_a_clean_stop_count_as_none(installation):
    for _ in range(2):
        child = installation.start("serve")
        installation.ready(child)
        child.kill()  # ready, and not yet good for a minute
        child.wait()
    assert len(starts(installation).failed()) == 2
    child = installation.start("serve")
    installation.ready(child)
    assert installation.end(child)[0] == 0
    assert starts(installation).failed() == []


@pytest.mark.child
def test_a_start_that_something_outside_prevents_is_no_failed_one(command):
    for _ in range(4):
        assert command.run("serve", MONGODB_URL="mongodb://127.0.0.1:1")[0] == 69
    assert command.run("serve", STUDIO_SERVER__PORT="none")[0] == 78
    assert starts(command).failed() == []


def starts(command, **settings):
    return Starts(PluginsSettings(starts_dir=command.folder / ".studio" / "starts", **settings))


@pytest.fixture
def opened(tmp_path):
    """Return starts of one folder, as so many processes would open it."""
    return lambda **settings: Starts(PluginsSettings(starts_dir=tmp_path / "starts", **settings))


@pytest.mark.pure
def test_a_start_counts_from_the_moment_its_process_is_gone(opened, crashed):
    living = opened()
    living.begin()
    assert opened().failed() == []
    crashed("start of plugin 'x'")
    assert opened().failed() == ["start of plugin 'x'"]
    living.good()
    assert opened().failed() == []


@pytest.mark.pure
def test_recovery_begins_at_the_configured_number_and_names_each_reason_once(opened, crashed):
    for doing in ("import of plugin 'a'", "import of plugin 'b'", "import of plugin 'b'"):
        assert opened().recovery() is None
        crashed(doing)
    reason = opened().recovery()
    assert "the last 3 starts failed in: import of plugin 'a'; import of plugin 'b'." in reason
    assert opened(recovery_after=4).recovery() is None
    assert opened(recovery_after=0).recovery() is None


@pytest.mark.pure
def test_a_forgotten_start_leaves_the_others_counted(opened, crashed):
    crashed("")
    mine = opened()
    mine.begin()
    mine.forget()
    assert opened().failed() == ["its imports"]


@pytest.mark.pure
def test_a_loop_of_crashes_keeps_ten_files(opened, crashed, tmp_path):
    for number in range(13):
        crashed(str(number))
    assert opened().failed() == [str(number) for number in range(2, 13)]


@pytest.mark.pure
def test_a_folder_that_cannot_be_made_counts_nothing_and_is_told(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    mine = Starts(PluginsSettings(starts_dir=tmp_path / "file" / "starts"))
    mine.begin()
    mine.note("x")
    assert (mine.failed(), mine.recovery()) == ([], None)
    mine.good()
    assert f"{tmp_path / 'file' / 'starts'} cannot be written: Not a directory" in capsys.readouterr().err


@pytest.fixture
def crashed(opened):
    """Begin a start and drop its lock, as the end of its process does."""

    def crash(doing):
        starts = opened()
        starts.begin()
        starts.note(doing)
        os.close(starts._handle)

    return crash
