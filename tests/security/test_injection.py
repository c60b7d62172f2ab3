"""Texts that are programs somewhere else: here they come back as they were, or are refused, and nothing runs."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.http
ROOT = Path(__file__).parents[2]
PROGRAMS = (
    "{{7*7}}", "{{''.__class__.__mro__}}", "${7*7}", "{0.__class__}", "{actor.__init__.__globals__}", "%(name)s", "%n",
    "<%= 7*7 %>", "#{7*7}", "{% for x in range(10**9) %}a{% endfor %}", "__import__('os').system('id')", "$(id)",
    "`id`", "=cmd|'/c calc'!A1", "'; DROP TABLE users; --", "<script>alert(1)</script>", "![x](https://evil.example/?d=1)",
)  # fmt: skip
SLOW = ("(a+)+$" * 40, ".*" * 1000, "^(([a-z])+.)+[A-Z]([a-z])+$" * 10, "\\" * 2000)
FORBIDDEN = {"eval", "exec", "compile", "__import__", "system", "popen"}
FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "shelve",
    "marshal",
    "cloudpickle",
    "jsonpickle",
    "torch",
    "joblib",
}
ALLOWED = {
    (
        "studio/web/wire.py",
        "eval",
    ): "the source is made of declared field names, quoted; never of anything that was sent",
}
"""Calls that run a text, each with the reason why nobody can choose the text."""


@pytest.mark.parametrize("program", PROGRAMS)
async def test_program_in_a_name_is_a_name(client, program):
    """A project's name and style, a story's title and text, and what the activity feed says of them."""
    made = await client.post("/api/workbench/projects", {"name": program, "stylePrompt": program})
    assert made.status == 201
    project = made.json["id"]
    read = (await client.get(f"/api/workbench/projects/{project}")).json
    assert (read["name"], read["stylePrompt"]) == (program, program)
    body = {
        "projectId": project,
        "title": program,
        "text": f"INT. ROOM - DAY\n\n{program}\n",
        "format": "fountain",
    }
    story = await client.post("/api/stories", body)
    assert story.status == 201, story
    assert story.json["title"] == program
    await client.studio.services.activity.flush()
    feed = await client.get(f"/api/workbench/projects/{project}/activities")
    assert any(program in entry["text"] for entry in feed.json["items"])
    assert "49" not in "".join(entry["text"] for entry in feed.json["items"] if program in entry["text"])


@pytest.mark.parametrize("pattern", SLOW, ids=["nested", "dots", "words", "backslashes"])
async def test_pattern_in_a_query_costs_nothing(server, client, pattern):
    """Every text that a query takes, of every route that can be asked without an object of one's own."""
    document = (await server.get("/api/openapi.json")).json["paths"]
    asked = [
        (path, parameter["name"])
        for path, methods in document.items()
        if "get" in methods and "{" not in path and path.startswith("/api/") and path != "/api/events"
        for parameter in methods["get"]["parameters"]
        if parameter["in"] == "query"
    ]
    assert asked, "no query is looked at: nothing is shown here"
    for path, name in asked:
        began = time.process_time()
        answer = await client.get(path, params={name: pattern})
        assert answer.status < 500, (path, name)
        assert time.process_time() - began < 0.5, (path, name)


@pytest.mark.parametrize("path", ["/api/stories/upload"])
async def test_json_that_poses_as_an_upload_is_no_upload(client, path):
    """CVE-2026-21858: a JSON body with the shape of a parsed form, which names a file of the server."""
    body = {
        "files": {"file": {"filepath": "/etc/passwd", "originalFilename": "a.txt", "mimetype": "text/plain"}}
    }
    answer = await client.post(path, body)
    assert answer.status == 415
    assert b"root:" not in answer.bytes


@pytest.mark.parametrize(
    "name",
    ["../settings.py", "..%2f..%2fsettings.py", "%2e%2e/%2e%2e/etc/passwd", "....//settings.py", "/etc/passwd",
     "..\\settings.py", "console.js%00.css", "console.js/../../templates/index.html", "C:\\windows\\win.ini"],
)  # fmt: skip
async def test_path_that_climbs_finds_no_file(server, name):
    answer = await server.get(f"/console/static/{name}")
    assert answer.status in (400, 404), answer
    assert b"import" not in answer.bytes


def sources():
    """Yield (path from the root, tree) of every module that runs in a server or a worker."""
    folders = (ROOT / "studio", *(ROOT / "plugins").glob("**/studio_*"))
    for folder in folders:
        for path in folder.rglob("*.py"):
            if "__pycache__" not in path.parts:
                yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def test_no_text_is_run_and_nothing_is_unpickled():
    found = []
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "id", "") or getattr(node.func, "attr", "")
                owner = getattr(getattr(node.func, "value", None), "id", "")
                plain = isinstance(node.func, ast.Name) or owner in ("os", "builtins")
                if called in FORBIDDEN and plain and (path, called) not in ALLOWED:
                    found.append(f"{path}:{node.lineno} calls {called}")
                if any(k.arg == "shell" and getattr(k.value, "value", False) for k in node.keywords):
                    found.append(f"{path}:{node.lineno} gives a command line to a shell")
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [
                f"{path}:{node.lineno} imports {n}" for n in names if n.partition(".")[0] in FORBIDDEN_MODULES
            ]
    assert not found, "a text that somebody sends must never run in our process:\n" + "\n".join(found)


def test_the_exceptions_are_still_there():
    calls = {
        (path, getattr(node.func, "id", ""))
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }
    assert set(ALLOWED) <= calls
