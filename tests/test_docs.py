"""A hook or a setting without documentation fails the build. There is no list of exemptions."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

import studio
from studio.app import Studio
from studio.cli.new_plugin import printed
from studio.dispatch import DECISIONS, HOOKS
from studio.settings import Settings
from studio.testing import InMemoryDatabase

pytestmark = pytest.mark.pure
ROOT = Path(__file__).parents[1]
HOOKS_PAGE = (ROOT / "docs" / "reference" / "hooks.md").read_text()
GUIDE = (ROOT / "docs" / "how-to" / "write-a-plugin.md").read_text()
DEFAULTS = (ROOT / "config" / "default.toml").read_text()


@pytest.fixture(scope="module")
def platform():
    """Return every installed plugin, registered and not started."""
    environ = {
        "STUDIO_ENV": "test",
        "STUDIO_CONFIG_DIR": str(ROOT / "nowhere"),
        "STUDIO_LOGGING__LEVEL": "error",
    }
    return Studio(environ=environ, database=InMemoryDatabase())


def signature(hook):
    """Write a hook as the page must show it, without `self`."""
    found = inspect.signature(HOOKS[hook])
    parameters = ", ".join(f"{p.name}: {p.annotation}" for p in list(found.parameters.values())[1:])
    return f"{hook}({parameters}) -> {found.return_annotation}"


def section(hook):
    found = re.search(rf"^### `{hook}`$(.*?)(?=^##|\Z)", HOOKS_PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"document {hook} in docs/reference/hooks.md: a heading '### `{hook}`'"
    return found[1]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_signature(hook):
    assert signature(hook) in section(hook), f"docs/reference/hooks.md must show: {signature(hook)}"


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_says_what_it_is_for_in_its_docstring_and_on_the_page(hook):
    told = inspect.getdoc(HOOKS[hook])
    assert told, f"give StudioHooks.{hook} a docstring"
    assert " ".join(told.split()) in " ".join(section(hook).split()), (
        f"docs/reference/hooks.md must say of {hook}: {told}"
    )


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_used_by_a_plugin_that_the_page_names(platform, hook):
    users = {i.plugin for i in platform.dispatcher.implementations(hook)}
    assert users, (
        f"no installed plugin implements {hook}: remove it from studio/hooks.py, it can come back with its first user"
    )
    named = re.search(r"^Used by: (.*)\.$", section(hook), re.MULTILINE)
    assert named, f"name a plugin that implements {hook}: 'Used by: {min(users)}.'"
    if named[1] != "every plugin with a service":
        wrong = {name.strip() for name in named[1].split(",")} - users
        assert not wrong, f"docs/reference/hooks.md: {hook} is not implemented by {wrong}; by {sorted(users)}"


def test_the_page_documents_no_hook_that_is_gone():
    documented = re.findall(r"^### `(\w+)`$", HOOKS_PAGE, re.MULTILINE)
    assert sorted(documented) == sorted(HOOKS), "docs/reference/hooks.md and studio/hooks.py differ"


@pytest.mark.parametrize(("hook", "owner"), DECISIONS.items())
def test_every_decision_says_who_owns_it(hook, owner):
    assert f"`owners.{owner}`" in section(hook)


def keys(model, prefix=""):
    """Yield (path, default) of every setting of a model."""
    for name, field in model.model_fields.items():
        if inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.get_default(call_default_factory=True)


def written(text):
    """Return the document with its commented-out keys put in, and the keys that are commented out."""
    lines, commented = [], []
    table = ""
    for line in text.splitlines():
        if found := re.match(r"\[(\S+)\]", line):
            table = found[1]
        if found := re.match(r"# ([a-z_]+) = ", line):
            commented.append(f"{table}.{found[1]}")
            lines.append(line.removeprefix("# "))
        else:
            lines.append(line)
    return tomllib.loads("\n".join(lines)), commented


def value_of(document, path):
    for part in path.split("."):
        document = document[part]
    return document


KERNEL_KEYS = [path for path, _ in keys(Settings) if path != "environment"]


@pytest.mark.parametrize("path", KERNEL_KEYS)
def test_every_setting_of_the_kernel_stands_in_the_default_file_with_its_default_and_a_comment(path):
    document, commented = written(DEFAULTS)
    default = dict(keys(Settings))[path]
    *table, key = path.split(".")
    try:
        value = value_of(document, path)
    except KeyError:
        pytest.fail(
            f"add to config/default.toml, under [{'.'.join(table)}]: {key} = {default!r}  # what it is"
        )
    if path in commented:
        assert default in (None, {}, []), f"{path} has a default: write it out, not as a comment"
    elif not isinstance(value, dict):
        shown = str(default) if isinstance(default, Path) else default
        assert value == shown, f"config/default.toml says {path} = {value!r}, the code {default!r}"
    heading = rf"^\[{re.escape(path)}\] .*# \S|^(# )?{key} = [^#\n]*(\"[^\"]*\"[^#\n]*)*# \S"
    assert re.search(heading, DEFAULTS, re.MULTILINE), f"config/default.toml: say after {path} what it is"


def test_the_default_file_has_no_key_that_nobody_reads():
    document, _ = written(DEFAULTS)
    known = set(KERNEL_KEYS)

    def leaves(table, prefix=""):
        for name, value in table.items():
            path = prefix + name
            if isinstance(value, dict) and path not in known:
                yield from leaves(value, f"{path}.")
            else:
                yield path

    sections = {name for name in document if name in Settings.model_fields}
    unknown = [path for path in leaves({name: document[name] for name in sections}) if path not in known]
    assert not unknown, f"config/default.toml: nobody reads {unknown}"


def test_every_setting_of_a_plugin_is_told_in_its_readme(platform):
    missing = []
    for name, record in platform.loader.records.items():
        if record.plugin is None or record.plugin.manifest.settings is None:
            continue
        folder = next(
            p.parent for p in ROOT.glob("plugins/**/pyproject.toml") if f'\n{name} = "' in p.read_text()
        )
        readme = (folder / "README.md").read_text()
        missing += [
            f"{folder.name}: {path}"
            for path, _ in keys(record.plugin.manifest.settings)
            if path not in readme
        ]
    assert not missing, "tell these settings in the plugin's README.md:\n  " + "\n  ".join(missing)


def test_the_guide_names_only_what_exists():
    names = set(re.findall(r"`(register_\w+|\w+_backends?)`", GUIDE))
    assert names <= set(HOOKS)
    imported = re.findall(r"^from studio import (.+)$", GUIDE, re.MULTILINE)
    assert imported
    for line in imported:
        assert {name.strip() for name in line.split(",")} <= {*studio.__all__}


@pytest.mark.parametrize(("kind", "page"), [("feature", "write-a-plugin"), ("provider", "write-a-provider")])
def test_what_new_plugin_writes_is_what_the_page_prints(kind, page):
    text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text()
    shown = dict(re.findall(r"```(?:python|toml) title=\"([^\"]+)\"\n(.*?)```", text, re.DOTALL))
    assert dict(printed(kind)) == shown, f"copy the blocks of {page}.md to studio/cli/scaffold/{kind}"


def test_the_plugin_of_the_guide_works_as_printed(tmp_path, monkeypatch):
    blocks = dict(re.findall(r"```(?:python|toml) title=\"([^\"]+)\"\n(.*?)```", GUIDE, re.DOTALL))
    assert {"pyproject.toml", "studio_mood/plugin.py"} <= blocks.keys()
    for name, text in blocks.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
    points = tomllib.loads(blocks["pyproject.toml"])["project"]["entry-points"]
    info = tmp_path / "studio_mood-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: studio-mood\nVersion: 0.1.0\n")
    lines = [
        f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in found.items()) for group, found in points.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(tmp_path))
    environ = {
        "STUDIO_ENV": "test",
        "STUDIO_CONFIG_DIR": str(tmp_path),
        "STUDIO_PLUGINS__ENABLED": "mood,projects",
    }
    built = Studio(environ=environ, database=InMemoryDatabase())
    assert built.loader.records["mood"].error is None
    assert ("mood", "/api/mood/{project_id}") in [
        (name, route.path) for name, route in built.registry.all("routes")
    ]
