from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from studio.config_reader import _leaves
from studio.errors import ConfigError
from studio.settings import PluginsSettings, Settings, load_plugin_choice, load_settings

pytestmark = pytest.mark.pure
CONFIG = Path(__file__).parents[2] / "config"


class VendorSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    api_key: SecretStr = Field(json_schema_extra={"env": "VENDOR_KEY"})
    tries: int = Field(3, ge=1)
    models: list[str] = []


@pytest.fixture
def config_dir(tmp_path):
    def write(**files):
        for name, text in files.items():
            (tmp_path / f"{name}.toml").write_text(text)
        return tmp_path

    return write


def load(config_dir, plugins=None, **environ):
    return load_settings(plugins or {}, environ={"STUDIO_CONFIG_DIR": str(config_dir), **environ})


def problems(config_dir, plugins=None, **environ):
    with pytest.raises(ConfigError) as caught:
        load(config_dir, plugins, **environ)
    return caught.value.problems


def test_no_folder_gives_built_in_defaults(tmp_path):
    loaded = load(tmp_path / "missing")
    assert loaded.settings == Settings()
    assert loaded.warnings == []


def test_default_toml_equals_the_built_in_defaults():
    assert load(CONFIG, STUDIO_ENV="production").settings.server == Settings().server
    data = tomllib.loads((CONFIG / "default.toml").read_text())
    assert Settings.model_validate(data) == Settings()


def test_default_toml_names_every_key():
    text, section, named = (CONFIG / "default.toml").read_text(), "", set()
    for line in text.splitlines():
        if found := re.match(r"\[([\w.]+)\]", line):
            section = found[1]
            named.add(section)
        elif found := re.match(r"(?:# )?(\w+) = ", line):
            named.add(f"{section}.{found[1]}")
    assert {path for path, _ in _leaves(Settings)} - {"environment"} <= named


@pytest.mark.parametrize("environment", ["development", "test", "preview", "production"])
def test_shipped_configuration_loads_without_warnings(environment):
    loaded = load(CONFIG, STUDIO_ENV=environment)
    assert loaded.settings.environment == environment
    assert loaded.warnings == []


def test_an_empty_host_is_refused_as_it_would_listen_everywhere(tmp_path):
    assert any("server.host" in problem for problem in problems(tmp_path, STUDIO_SERVER__HOST=""))


def test_environment_file_overrides_default(config_dir):
    folder = config_dir(default="[server]\nport=1\nhost='a'", test="[server]\nport=2")
    server = load(folder, STUDIO_ENV="test").settings.server
    assert (server.host, server.port) == ("a", 2)


def test_variable_overrides_file(config_dir):
    folder = config_dir(default="[server]\nport=1")
    assert load(folder, STUDIO_SERVER__PORT="99").settings.server.port == 99


def test_local_env_file_is_read_in_development_only(config_dir):
    folder = config_dir(default="")
    (folder / ".env.local").write_text("STUDIO_SERVER__PORT=7\n")
    assert load(folder).settings.server.port == 7
    assert load(folder, STUDIO_ENV="test").settings.server.port == 8081


def test_variable_wins_over_local_env_file(config_dir):
    folder = config_dir(default="")
    (folder / ".env.local").write_text("STUDIO_SERVER__PORT=7\n")
    assert load(folder, STUDIO_SERVER__PORT="8").settings.server.port == 8


@pytest.mark.parametrize("text", ["https://a, https://b", '["https://a", "https://b"]'])
def test_list_variable_takes_commas_and_json(tmp_path, text):
    assert load(tmp_path, STUDIO_WEB__CORS_ORIGINS=text).settings.web.cors_origins == [
        "https://a",
        "https://b",
    ]


def test_empty_variable_is_an_empty_list_or_table(tmp_path):
    names = ("PLUGINS__ENABLED", "PLUGINS__DISABLED", "PLUGINS__ON_FAILURE", "WEB__CORS_ORIGINS")
    settings = load(tmp_path, **{f"STUDIO_{name}": "" for name in names}).settings
    assert (settings.plugins.enabled, settings.plugins.disabled, settings.plugins.on_failure) == ([], [], {})
    assert settings.web.cors_origins == []
    _, choice = load_plugin_choice(
        environ={"STUDIO_CONFIG_DIR": str(tmp_path), "STUDIO_PLUGINS__ENABLED": ""}
    )
    assert choice.enabled == []


def test_dict_variable_takes_nested_names(tmp_path):
    loaded = load(tmp_path, STUDIO_PLUGINS__ON_FAILURE__SSE="continue")
    assert loaded.settings.plugins.on_failure == {"sse": "continue"}


def test_short_names_fill_urls_and_long_names_win(tmp_path):
    short = load(tmp_path, MONGODB_URL="mongodb://a", REDIS_URL="redis://b").settings
    assert short.database.url is not None
    assert short.cache.url is not None
    assert short.database.url.get_secret_value() == "mongodb://a"
    both = load(tmp_path, MONGODB_URL="mongodb://a", STUDIO_DATABASE__URL="mongodb://c").settings
    assert both.database.url is not None
    assert both.database.url.get_secret_value() == "mongodb://c"


def test_plugin_section_is_read_with_its_short_name(config_dir):
    folder = config_dir(default="[vendor]\ntries = 5")
    loaded = load(folder, {"vendor": VendorSettings}, VENDOR_KEY="k-123456789", STUDIO_VENDOR__MODELS="a,b")
    vendor = loaded.plugins["vendor"]
    assert isinstance(vendor, VendorSettings)
    assert (vendor.tries, vendor.models, vendor.api_key.get_secret_value()) == (5, ["a", "b"], "k-123456789")
    assert "k-123456789" in list(loaded.secrets())


def test_all_problems_come_in_one_error(config_dir):
    folder = config_dir(default="[server]\nprot = 1\n[vendor]\ntries = 0")
    found = problems(folder, {"vendor": VendorSettings}, STUDIO_ENV="prod", STUDIO_WEB__DEADLINE_S="soon")
    text = "\n".join(found)
    assert len(found) == 5
    assert "STUDIO_ENV: 'prod' is no environment; expected one of development" in text
    assert "server.prot in default.toml: no such setting; did you mean server.port?" in text
    assert "web.deadline_s [STUDIO_WEB__DEADLINE_S]" in text
    assert "vendor.tries [STUDIO_VENDOR__TRIES], plugin vendor: Input should be greater" in text
    assert "vendor.api_key [STUDIO_VENDOR__API_KEY], plugin vendor: is missing" in text


def test_problem_says_where_the_value_came_from(config_dir):
    folder = config_dir(default="[server]\nport = 'x'")
    assert "from default.toml" in problems(folder)[0]
    assert "from the environment" in problems(folder, STUDIO_SERVER__PORT="y")[0]


def test_problem_in_a_list_names_the_place_and_the_variable_that_exists(tmp_path):
    found = problems(tmp_path, STUDIO_SERVER__TRUSTED_PROXIES="10.0.0.0/8,foo")
    assert found
    assert {line.partition(": ")[0] for line in found} == {
        "server.trusted_proxies.1 [STUDIO_SERVER__TRUSTED_PROXIES]"
    }


def test_problem_never_shows_the_value(tmp_path):
    class Checked(BaseModel):
        code: str

        def __init__(self, **data):
            super().__init__(**data)

    class Picky(BaseModel):
        url: int

    lines = problems(tmp_path, {"picky": Picky}, STUDIO_PICKY__URL="hunter2", STUDIO_LOGGING__LEVEL="hunter2")
    assert "hunter2" not in "\n".join(lines)
    assert len(lines) == 2


@pytest.mark.parametrize(
    "text", [b"[server\n", b"a = \xff", b"port == 1"], ids=["unclosed", "not-utf8", "two-equals"]
)
def test_unreadable_toml_is_one_clear_line(tmp_path, text):
    (tmp_path / "default.toml").write_bytes(text)
    (line,) = problems(tmp_path)
    assert line.startswith(f"{tmp_path / 'default.toml'}: cannot be read:")
    assert "\n" not in line


def test_invalid_toml_names_line_and_column(tmp_path):
    (tmp_path / "default.toml").write_text("[server]\nport == 1\n")
    assert "line 2, column" in problems(tmp_path)[0]


def test_section_that_is_no_table_is_refused(config_dir):
    assert any("server" in line for line in problems(config_dir(default="server = 5")))


def test_broken_json_in_a_variable_names_the_key(tmp_path):
    (line,) = problems(tmp_path, STUDIO_WEB__CORS_ORIGINS='["a"')
    assert "web.cors_origins" in line


def test_unknown_variable_is_warned_with_a_near_match(tmp_path):
    (warning,) = load(tmp_path, STUDIO_SEVER__PORT="1").warnings
    assert warning == "STUDIO_SEVER__PORT: no such setting; did you mean STUDIO_SERVER__PORT?"


def test_foreign_variables_are_nobodys_business(tmp_path):
    loaded = load(
        tmp_path, PATH="/bin", STUDIO_ENV="test", STUDIO_CONFIG_DIR=str(tmp_path), STUDIO_TRACE_HOOKS="1"
    )
    assert loaded.warnings == []


def test_section_of_an_absent_plugin_is_warned(config_dir):
    warnings = load(config_dir(default="[elevenlabs]\nkey='x'\n[sever]\nport=1")).warnings
    assert warnings == [
        "default.toml: [elevenlabs] belongs to no plugin that is on",
        "default.toml: [sever] belongs to no plugin that is on; did you mean [server]?",
    ]


@pytest.mark.parametrize("secret", ["changeme", "your-key", "<set me>", "REPLACE_ME", "secret"])
def test_placeholder_secret_is_refused_in_production_only(tmp_path, secret):
    environ = {"STUDIO_VENDOR__API_KEY": secret}
    load(tmp_path, {"vendor": VendorSettings}, **environ)
    (line,) = problems(tmp_path, {"vendor": VendorSettings}, STUDIO_ENV="production", **environ)
    assert "vendor.api_key [STUDIO_VENDOR__API_KEY]" in line
    assert secret not in line.removeprefix("vendor.api_key [STUDIO_VENDOR__API_KEY]: holds a placeholder; ")


def test_plugin_choice_is_read_before_any_plugin_is_known(config_dir):
    folder = config_dir(default="[plugins]\ndisabled = ['x']\n[vendor]\ntries = 0")
    environment, choice = load_plugin_choice(
        environ={"STUDIO_CONFIG_DIR": str(folder), "STUDIO_ENV": "preview"}
    )
    assert (environment, choice.disabled) == ("preview", ["x"])


def test_broken_plugin_choice_names_every_kernel_problem(config_dir):
    folder = config_dir(default="[plugins]\nwarn_s = 'x'\n[server]\nport = 'y'")
    with pytest.raises(ConfigError) as caught:
        load_plugin_choice(environ={"STUDIO_CONFIG_DIR": str(folder)})
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("enabled", "environment", "allowed"),
    [
        (None, "development", True),
        (None, "test", True),
        (None, "preview", False),
        (None, "production", False),
        (["vendor"], "production", True),
        (["other"], "development", False),
    ],
)
def test_plugin_runs_only_when_the_environment_allows_it(enabled, environment, allowed):
    assert PluginsSettings(enabled=enabled).allows("vendor", environment) is allowed


def test_disabled_plugin_never_runs():
    assert not PluginsSettings(enabled=["vendor"], disabled=["vendor"]).allows("vendor", "production")


@pytest.mark.parametrize("value", ["*", "a", "https"])
def test_a_message_keeps_its_words_where_a_value_is_a_part_of_them(value):
    with pytest.raises(ConfigError) as told:
        load_settings(environ={"STUDIO_WEB__CORS_ORIGINS": value, "STUDIO_SERVER__PORT": value})
    assert "the value" not in str(told.value)
    assert "^https?://" in str(told.value)
    assert "valid integer" in str(told.value)
