from __future__ import annotations

import re

import pytest

from studio.cli import new_plugin

pytestmark = pytest.mark.pure


def made(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.*")}


@pytest.mark.parametrize("kind", sorted(new_plugin.PRINTED))
def test_no_trace_of_the_page_is_left_under_another_name(tmp_path, kind):
    new_plugin.new_plugin("shot_list", tmp_path, provider=kind == "provider")
    files = made(tmp_path)
    assert {
        "studio-shot-list/pyproject.toml",
        "studio-shot-list/studio_shot_list/__init__.py",
    } <= files.keys()
    text = "\n".join([*files, *files.values()])
    assert not re.search(f"(?i){new_plugin.PRINTED[kind]}", text)
    assert 'name = "studio-shot-list"' in files["studio-shot-list/pyproject.toml"]


def test_a_host_has_no_underscore(tmp_path):
    new_plugin.new_plugin("shot_list", tmp_path, provider=True)
    assert "https://api.shot-list.example" in made(tmp_path)["studio-shot-list/studio_shot_list/plugin.py"]


@pytest.mark.parametrize(("name", "dashed"), [("moods", "moods"), ("mood_lumen", "mood-lumen")])
def test_a_name_with_the_pages_in_it_is_written_once(tmp_path, name, dashed):
    new_plugin.new_plugin(name, tmp_path)
    new_plugin.new_plugin(name, tmp_path / "provider", provider=True)
    files = made(tmp_path)
    for folder in (f"studio-{dashed}", f"provider/studio-{dashed}"):
        assert f'name = "studio-{dashed}"' in files[f"{folder}/pyproject.toml"]
    assert f"https://api.{dashed}.example" in files[f"provider/studio-{dashed}/studio_{name}/plugin.py"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("My-Plugin", "cannot be a plugin's name"),
        ("server", "cannot be a plugin's name"),
        ("../up", "cannot be a plugin's name"),
        ("auth", "studio-auth offers a plugin 'auth' already"),
        ("mine", "studio-mine exists already"),
        ("backend", "studio-backend is a distribution that is installed already"),
        ("provider_local", "studio-provider-local is a distribution that is installed already"),
        ("mood_", "gives no distribution's name"),
        ("mood__board", "gives no distribution's name"),
    ],
)
def test_what_could_not_be_loaded_or_would_overwrite_is_refused(tmp_path, capsys, name, reason):
    (tmp_path / "studio-mine").mkdir()
    with pytest.raises(SystemExit) as ended:
        new_plugin.new_plugin(name, tmp_path)
    assert ended.value.code == 1
    assert reason in capsys.readouterr().err
    assert made(tmp_path) == {}
