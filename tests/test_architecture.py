"""The rules of the house. Each one finds the plugins by itself, and says what to do when it is broken."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import grimp
import pytest
from aiohttp import web

import studio
from studio import PUBLIC, SIGNED_IN, StudioHooks
from studio.app import Studio
from studio.testing import InMemoryDatabase

pytestmark = pytest.mark.pure
ROOT = Path(__file__).parents[1]
KERNEL = ROOT / "studio"
FUNCTION_LINES, KERNEL_FILE_LINES, PLUGIN_FILE_LINES, KERNEL_CODE_LINES = 60, 300, 400, 6_469
BROAD_EXCEPTS = 5
TEST_FUNCTIONS = 1_000
"""A floor, so that no change loses tests by a wrong folder or marker; the original had 527."""
TEST_KINDS = {"pure", "memory", "http", "database", "child", "peer"}
FEATURE_ROOMS = {"plugin", "routes", "handlers", "service", "models"}
"""What a plugin with routes of its own model has at least; a plugin whose table is its own needs no more."""
VENDOR_SDKS = {
    "openai", "anthropic", "replicate", "elevenlabs", "runwayml", "google.genai", "boto3", "botocore", "fal_client",
    "stripe", "jira", "sendgrid", "prefect", "newrelic", "sentry_sdk", "PIL", "numpy", "imageio_ffmpeg",
    "opentimelineio", "pysubs2",
}  # fmt: skip
"""SDKs of vendors, and the heavy libraries of the local pack: each is imported at its first use."""


@dataclass(frozen=True)
class Plugin:
    """One distribution of this repository."""

    folder: Path
    name: str
    package: str

    @property
    def sources(self) -> list[Path]:
        return sorted((self.folder / self.package).rglob("*.py"))

    @property
    def tests(self) -> list[Path]:
        return sorted((self.folder / "tests").rglob("*.py"))


def found_projects() -> list[Path]:
    return sorted([*ROOT.glob("plugins/*/pyproject.toml"), *ROOT.glob("plugins/providers/*/pyproject.toml")])


def found_plugins() -> list[Plugin]:
    plugins = []
    for project in found_projects():
        points = (
            tomllib.loads(project.read_text())["project"].get("entry-points", {}).get("studio.plugins", {})
        )
        for name, target in points.items():
            plugins.append(Plugin(project.parent, name, target.partition(".")[0]))
    return plugins


def found_libraries() -> list[Plugin]:
    """Return the distributions that say `[tool.studio] library = true`: plugins share them, nobody loads them."""
    libraries = []
    for project in found_projects():
        tool = tomllib.loads(project.read_text())["tool"]
        if tool.get("studio", {}).get("library") is True:
            package = tool["uv"]["build-backend"]["module-name"]
            libraries.append(Plugin(project.parent, package.removeprefix("studio_"), package))
    return libraries


PLUGINS = found_plugins()
LIBRARIES = found_libraries()
HOUSE = [*PLUGINS, *LIBRARIES]
each_plugin = pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
each_distribution = pytest.mark.parametrize("plugin", HOUSE, ids=lambda plugin: plugin.name)


@cache
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("studio", *(p.package for p in HOUSE), include_external_packages=True)


@cache
def project_of(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def platform() -> Studio:
    """Every installed plugin, registered and not started."""
    environ = {
        "STUDIO_ENV": "test",
        "STUDIO_CONFIG_DIR": str(ROOT / "nowhere"),
        "STUDIO_LOGGING__LEVEL": "error",
    }
    return Studio(environ=environ, database=InMemoryDatabase())


def where(path: Path, node: ast.AST | None = None) -> str:
    line = getattr(node, "lineno", None)
    return str(path.relative_to(ROOT)) + (f":{line}" if line else "")


def tell(problems: list[str], advice: str) -> None:
    assert not problems, "\n  ".join([advice, *problems])


def all_sources() -> list[Path]:
    return [*sorted(KERNEL.rglob("*.py")), *(path for plugin in HOUSE for path in plugin.sources)]


# ---------------------------------------------------------------- who imports whom


def test_the_kernel_imports_no_plugin():
    graph, packages = imports(), {plugin.package for plugin in HOUSE}
    problems = [
        f"{module} imports {target}"
        for module in sorted(graph.modules)
        if module.partition(".")[0] == "studio"
        for target in sorted(graph.find_modules_directly_imported_by(module))
        if target.partition(".")[0] in packages
    ]
    tell(problems, "The kernel knows no plugin: give it a hook, and let the plugin implement it.")


def imported_names(path: Path) -> list[tuple[ast.AST, str, str]]:
    """Return (node, module, name) of every import, also those inside functions and `if TYPE_CHECKING`."""
    found: list[tuple[ast.AST, str, str]] = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found += [(node, alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [(node, node.module, alias.name) for alias in node.names]
    return found


@each_distribution
def test_a_plugin_imports_only_public_names_of_the_kernel(plugin):
    problems = []
    for path in plugin.sources:
        for node, module, name in imported_names(path):
            public = module == "studio" and (name == "" or name in studio.__all__)
            if module.partition(".")[0] == "studio" and not public:
                problems.append(f"{where(path, node)} imports {module}{name and '.' + name}")
    tell(
        problems,
        "A plugin imports from `studio` what stands in its `__all__`: use that, or ask for it to be public.",
    )


@each_distribution
def test_the_tests_of_a_plugin_use_the_public_names_and_the_test_kit(plugin):
    problems = []
    for path in plugin.tests:
        for node, module, name in imported_names(path):
            inside = module.startswith("studio.") and module.partition(".")[2].partition(".")[0] != "testing"
            if inside or (module == "studio" and name not in {"", "testing", *studio.__all__}):
                problems.append(f"{where(path, node)} imports {module}{name and '.' + name}")
    tell(
        problems,
        "A plugin's tests import `studio` (its `__all__`) and `studio.testing`: strangers have no more.",
    )


@each_distribution
def test_a_plugin_imports_of_other_plugins_only_their_api(plugin):
    others = {other.package for other in HOUSE} - {plugin.package}
    problems = [
        f"{where(path, node)} imports {module}"
        for path in plugin.sources
        for node, module, name in imported_names(path)
        if module.partition(".")[0] in others and module.split(".")[1:2] != ["api"] and name != "api"
    ]
    tell(
        problems,
        "Two features talk through `studio_<name>.api` of the owner (and `ctx.service`), or an event.",
    )


@each_distribution
def test_a_plugin_declares_the_distributions_of_the_plugins_it_imports(plugin):
    declared = " ".join(project_of(plugin.folder)["dependencies"])
    others = {other.package: project_of(other.folder)["name"] for other in HOUSE if other is not plugin}
    used = {
        m.partition(".")[0] for path in plugin.sources for _, m, _ in imported_names(path)
    } & others.keys()
    problems = [others[package] for package in sorted(used) if others[package] not in declared]
    tell(problems, f"Add these to `dependencies` in {where(plugin.folder / 'pyproject.toml')}:")


def test_starting_imports_no_vendor_sdk():
    code = "import sys; from studio.app import Studio; Studio(); print(*sorted(sys.modules))"
    environ = {"STUDIO_ENV": "test", "STUDIO_LOGGING__LEVEL": "error", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=180, check=True
    )
    problems = sorted(VENDOR_SDKS & set(done.stdout.split()))
    tell(
        problems,
        "Import these at their first use (a provider's target is a string), not when the plugin is imported:",
    )


# ---------------------------------------------------------------- rooms and routes


@each_plugin
def test_every_plugin_has_a_door_and_is_typed(plugin):
    package = plugin.folder / plugin.package
    problems = [name for name in ("plugin.py", "py.typed", "__init__.py") if not (package / name).exists()]
    tell(problems, f"Every plugin has these; add them to {where(package)}:")


def test_a_distribution_is_a_plugin_or_says_that_it_is_a_library():
    plugins, libraries = ({where(one.folder) for one in found} for found in (PLUGINS, LIBRARIES))
    problems = [
        where(project.parent)
        for project in found_projects()
        if (where(project.parent) in plugins) == (where(project.parent) in libraries)
    ]
    tell(
        problems,
        "Name the plugin's class in the entry point group `studio.plugins`, or say `[tool.studio] library = true`:",
    )


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_a_library_has_an_api_and_no_door(library):
    package = library.folder / library.package
    lacking = [n for n in ("api.py", "py.typed", "__init__.py") if not (package / n).exists()]
    tell(lacking, f"Other plugins import `{library.package}.api` only; add to {where(package)}:")
    doors = [n for n in ("plugin.py", "routes.py", "handlers.py") if (package / n).exists()]
    tell(doors, "A library is never loaded by itself: what has a door is a plugin. Remove, or make it one:")


@each_plugin
def test_the_same_rooms_stand_in_every_feature_plugin(plugin):
    package = plugin.folder / plugin.package
    present = {path.stem for path in package.glob("*.py")} | {p.name for p in package.iterdir() if p.is_dir()}
    declared = platform().registry.plugins.get(plugin.name)
    assert declared is not None, f"{plugin.name}: {platform().loader.records[plugin.name].error}"
    wanted = {"plugin"}
    if declared.routes:
        wanted |= {"routes", "handlers"}
    if declared.collections and declared.routes:
        wanted |= FEATURE_ROOMS
    if declared.jobs:
        wanted |= {"jobs"}
    if platform().loader.records[plugin.name].plugin.manifest.settings:
        wanted |= {"settings"}
    tell(
        sorted(wanted - present),
        f"A reader looks for the same rooms everywhere; {where(package)} lacks these modules:",
    )


@each_plugin
def test_the_door_only_wires(plugin):
    path = plugin.folder / plugin.package / "plugin.py"
    hooks = {name for name in vars(StudioHooks) if not name.startswith("_")}
    classes = [n for n in tree_of(path).body if isinstance(n, ast.ClassDef)]
    problems = [
        f"{where(path, method)} {method.name} has {length(method)} lines"
        for kind in classes
        for method in kind.body
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
        and method.name in hooks
        and length(method) > 30
    ]
    tell(problems, "plugin.py wires only: move what decides to service.py.")


def all_routes():
    return platform().registry.all("routes")


def test_every_route_names_a_permission_that_somebody_registers():
    known = {PUBLIC, SIGNED_IN, *platform().registry.index("permissions")}
    problems = [
        f"{owner}: {r.method} {r.path} names {r.permission!r}"
        for owner, r in all_routes()
        if r.permission not in known
    ]
    tell(problems, "Return the permission from `register_permissions`, or name PUBLIC or SIGNED_IN:")


def test_every_route_names_its_public_model_or_answers_nothing_or_a_stream():
    problems = []
    for owner, route in all_routes():
        gives = inspect.get_annotations(route.handler, eval_str=False).get("return")
        silent = str(gives) in ("None", "NoneType") or route.status == 204
        streams = (
            "Response" in str(gives) or gives is web.StreamResponse or route.produces != "application/json"
        )
        modelled = (
            isinstance(gives, str) and gives.isidentifier() and gives not in ("dict", "list", "Page", "Any")
        )
        if not (route.returns or silent or streams or modelled):
            problems.append(f"{owner}: {route.method} {route.path} gives {gives}")
    tell(problems, "Give the route `returns=<Public model>`, so that only its fields leave the house:")


@each_plugin
def test_every_plugin_registers(plugin):
    record = platform().loader.records[plugin.name]
    assert record.alive, f"{plugin.name} failed in {record.phase}: {record.error}"


# ---------------------------------------------------------------- sizes


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_function_is_longer_than_sixty_lines():
    problems = [
        f"{where(path, node)} {node.name}: {length(node)}"
        for path in all_sources()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length(node) > FUNCTION_LINES
    ]
    tell(problems, f"Split these functions (at most {FUNCTION_LINES} lines each):")


@pytest.mark.parametrize(
    ("paths", "limit"),
    [
        (sorted(KERNEL.rglob("*.py")), KERNEL_FILE_LINES),
        ([p for plugin in HOUSE for p in plugin.sources], PLUGIN_FILE_LINES),
    ],
    ids=["kernel", "plugins"],
)
def test_no_file_is_too_long(paths, limit):
    counts = {path: len(path.read_text().splitlines()) for path in paths}
    problems = [f"{where(path)}: {count}" for path, count in counts.items() if count > limit]
    tell(problems, f"Split these files (at most {limit} lines each), along a seam a reader would look for:")


def documentation(tree: ast.Module) -> set[int]:
    """Return the lines of docstrings, also of those under constants and fields."""
    found: set[int] = set()
    for node in ast.walk(tree):
        for part in getattr(node, "body", ()) if not isinstance(node, ast.Lambda | ast.IfExp) else ():
            if (
                isinstance(part, ast.Expr)
                and isinstance(part.value, ast.Constant)
                and isinstance(part.value.value, str)
            ):
                found.update(range(part.lineno, (part.end_lineno or part.lineno) + 1))
    return found


def code_lines(path: Path) -> int:
    skipped = documentation(tree_of(path))
    return sum(
        1
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#") and number not in skipped
    )


def test_the_kernel_stays_small(capsys):
    files = [
        p for p in sorted(KERNEL.rglob("*.py")) if p.relative_to(KERNEL).parts[0] not in ("cli", "testing")
    ]
    code, lines = sum(map(code_lines, files)), sum(len(path.read_text().splitlines()) for path in files)
    with capsys.disabled():
        sys.stdout.write(
            f"\nkernel without cli and testing: {code} code lines, {lines} lines, {len(files)} files\n"
        )
    largest = sorted(files, key=code_lines, reverse=True)[:8]
    advice = (
        f"The kernel has {code} code lines, agreed are {KERNEL_CODE_LINES}: move a room to a plugin. Largest:"
    )
    tell([f"{where(p)}: {code_lines(p)}" for p in largest] if code > KERNEL_CODE_LINES else [], advice)


# ---------------------------------------------------------------- public names and broad excepts


def test_the_public_names_are_sorted_and_exist():
    constants = [name for name in studio.__all__ if name.isupper()]
    classes = [name for name in studio.__all__ if not name.isupper() and name[0].isupper()]
    functions = [name for name in studio.__all__ if name[0].islower()]
    right = [*sorted(constants), *sorted(classes), *sorted(functions)]
    assert studio.__all__ == right, (
        f"Sort `__all__` in studio/__init__.py: constants, classes, functions: {right}"
    )
    missing = [name for name in studio.__all__ if not hasattr(studio, name)]
    tell(missing, "`__all__` names what studio/__init__.py does not import:")


def test_everything_public_is_documented():
    problems = [
        name
        for name in studio.__all__
        if (inspect.isclass(found := getattr(studio, name)) or inspect.isroutine(found))
        and not inspect.getdoc(found)
    ]
    tell(problems, "Give these public names a docstring:")


def broad_excepts(path: Path) -> list[ast.ExceptHandler]:
    found = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ExceptHandler):
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(
                kind is None or getattr(kind, "id", "") in ("Exception", "BaseException") for kind in kinds
            ):
                found.append(node)
    return found


def boundaries(path: Path) -> list[ast.Call]:
    """Return where `contained` is called."""
    calls = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    return [call for call in calls if getattr(call.func, "id", "") == "contained"]


def reason_at(path: Path, node: ast.Call | ast.ExceptHandler) -> str:
    line = path.read_text().splitlines()[node.lineno - 1]
    return line.rpartition("#")[2].rpartition(" - ")[2].strip() if "#" in line else ""


def test_whatever_is_raised_is_caught_at_boundaries_only_and_each_says_why(capsys):
    excepts = [(path, node) for path in all_sources() for node in broad_excepts(path)]
    calls = [(path, node) for path in all_sources() for node in boundaries(path)]
    reasons = [(where(path, node), reason_at(path, node)) for path, node in (*excepts, *calls)]
    with capsys.disabled():
        title = f"\n{len(excepts)} broad excepts (at most {BROAD_EXCEPTS}), {len(calls)} times `contained`"
        sys.stdout.write("\n  ".join([title, *(f"{place}: {why}" for place, why in reasons)]) + "\n")
    tell(
        [place for place, why in reasons if len(why.split()) < 4],
        "Catch what can happen, or say in a comment on the line whose code may fail here, and who goes on:",
    )
    tell(
        [where(*found) for found in excepts] if len(excepts) > BROAD_EXCEPTS else [],
        f"The code of others is called in `with contained(…)` (studio/boundary.py); more than {BROAD_EXCEPTS}:",
    )


def test_modules_are_importable_and_documented():
    problems = [
        where(path) for path in all_sources() if path.stat().st_size and not ast.get_docstring(tree_of(path))
    ]
    for plugin in PLUGINS:
        importlib.import_module(f"{plugin.package}.plugin")
    tell(problems, "Start these modules with one line of what they hold:")


# ---------------------------------------------------------------- tests


def files_of_tests() -> list[Path]:
    roots = [ROOT / "tests", *(plugin.folder / "tests" for plugin in HOUSE)]
    return [path for root in roots for path in sorted(root.rglob("test_*.py"))]


def functions_of_tests(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    functions = [n for n in ast.walk(tree_of(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [node for node in functions if node.name.startswith("test_")]


def marks(nodes: list[ast.expr]) -> set[str]:
    return {n.attr for node in nodes for n in ast.walk(node) if isinstance(n, ast.Attribute)} & TEST_KINDS


def test_the_house_has_its_tests():
    count = sum(len(functions_of_tests(path)) for path in files_of_tests())
    assert count >= TEST_FUNCTIONS, f"{count} test functions are found, at least {TEST_FUNCTIONS} were there"


def test_every_test_says_of_which_kind_it_is():
    problems = []
    for path in files_of_tests():
        assigns = [n for n in tree_of(path).body if isinstance(n, ast.Assign)]
        whole = [
            n.value for n in assigns if isinstance(n.targets[0], ast.Name) and n.targets[0].id == "pytestmark"
        ]
        problems += [
            f"{where(path, node)} {node.name}"
            for node in functions_of_tests(path)
            if not marks(whole) and not marks(node.decorator_list)
        ]
    tell(problems, f"Give the file a `pytestmark = pytest.mark.<kind>`, one of {sorted(TEST_KINDS)}:")
