"""The door: what is declared with and without a key, what settings are refused, and files that are cleaned up."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import structlog
from pydantic import ValidationError

from studio import PluginContext
from studio.testing.kit import Services
from studio_openai.files import OutputFolder
from studio_openai.plugin import Plugin
from studio_openai.settings import OpenaiSettings

pytestmark = pytest.mark.pure
CAPABILITIES = ["chat", "image", "image_edit", "voice", "moderation"]


def specs(**settings):
    ctx = PluginContext("openai", Services(), OpenaiSettings(**settings), structlog.get_logger())
    return list(Plugin().register_providers(ctx))


def test_without_a_key_every_provider_says_what_to_set():
    found = specs()
    assert [spec.capability for spec in found] == CAPABILITIES
    assert {spec.missing for spec in found} == {"set STUDIO_OPENAI__API_KEY"}


def test_with_a_key_they_are_on_and_their_deadlines_are_longer_than_the_calls():
    found = {spec.capability: spec for spec in specs(api_key="sk-1", webhook_secret="whsec_MfKQ")}
    assert all(spec.missing is None for spec in found.values())
    assert [name for name, spec in found.items() if spec.idempotent_submit] == ["moderation"]
    assert found["chat"].deadline_s > OpenaiSettings().chat_deadline_s
    assert [name for name, spec in found.items() if spec.webhooks] == ["chat"]
    assert not any(spec.webhooks for spec in specs(api_key="sk-1"))


def test_a_server_of_ones_own_needs_no_key_and_speaks_chat_completions():
    local = OpenaiSettings(base_url="http://127.0.0.1:8080/v1", allow_private=True)
    assert (local.missing, local.responses, local.private_hosts) == (None, False, ("127.0.0.1",))
    official = OpenaiSettings(api_key="sk-1")
    assert (official.responses, official.private_hosts) == (True, ())


def test_prices_are_the_operators_and_unknown_otherwise():
    prices = {"gpt-5.5": {"kind": "per_1m_tokens", "unit_uusd": 5_000_000, "output_uusd": 30_000_000}}
    models = {m.name: m for m in specs(api_key="sk-1", prices=prices)[0].models}
    assert (models["gpt-5.5"].unit_price_uusd, models["gpt-5.5"].output_price_uusd) == (5_000_000, 30_000_000)
    assert models["gpt-5.4-mini"].price_kind == "unknown"
    (judge,) = [spec for spec in specs(api_key="sk-1") if spec.capability == "moderation"]
    assert (judge.models[0].name, judge.models[0].price_kind) == ("omni-moderation-latest", "free")


def test_videos_are_there_only_where_a_model_is_named():
    assert "video" not in [spec.capability for spec in specs(api_key="sk-1")]
    (film,) = [spec for spec in specs(video_models=["wan-2.2"]) if spec.capability == "video"]
    assert (film.models[0].name, film.models[0].price_kind) == ("wan-2.2", "unknown")
    assert film.missing == "set STUDIO_OPENAI__API_KEY"
    assert film.deadline_s > OpenaiSettings().video_deadline_s


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "http://api.openai.com/v1"},
        {"base_url": "ftp://127.0.0.1/v1", "allow_private": True},
        {"base_url": "https://user:secret@example.org/v1"},
        {"base_url": "https://example.org/v1?key=1"},
        {"background": True, "chat_api": "chat_completions"},
        {"webhook_secret": "secret"},
        {"organization": "a\r\nX-Evil: 1"},
        {"chat_models": []},
        {"prices": {"x": {"kind": "per_1m_tokens", "unit_uusd": -1}}},
        {"unknown": 1},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(ValidationError):
        OpenaiSettings(**wrong)


def test_the_key_has_its_short_name_and_is_never_shown():
    extra = OpenaiSettings.model_fields["api_key"].json_schema_extra
    assert extra == {"env": "OPENAI_API_KEY"}
    assert "sk-1" not in repr(OpenaiSettings(api_key="sk-1"))


@pytest.mark.child
def test_the_door_imports_no_provider():
    code = "import sys, studio_openai.plugin; print(*sorted(m for m in sys.modules if m.startswith('studio_openai')))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert not {"studio_openai.chat", "studio_openai.image", "studio_openai.voice"} & set(done.stdout.split())


@pytest.mark.memory
async def test_old_files_are_removed_and_new_ones_stay(tmp_path):
    folder = OutputFolder(tmp_path / "out", keep_h=1)
    old, new = await folder.put("old", ".png", b"1"), await folder.put("new", ".png", b"2")
    os.utime(old, (time.time() - 3700,) * 2)
    assert folder.clean(time.time()) == 1
    assert (old.exists(), new.read_bytes()) == (False, b"2")
    assert await folder.put("new", ".png", b"3") == new
    assert [path.name for path in new.parent.iterdir()] == [new.name]


@pytest.mark.memory
async def test_the_lifespan_cleans_at_once(tmp_path):
    settings = OpenaiSettings(work_dir=tmp_path, keep_files_h=0.001)
    (tmp_path / "old.png").write_bytes(b"1")
    os.utime(tmp_path / "old.png", (0, 0))
    ctx = PluginContext("openai", Services(), settings, structlog.get_logger())
    async with Plugin().lifespan(ctx):
        assert not (tmp_path / "old.png").exists()
