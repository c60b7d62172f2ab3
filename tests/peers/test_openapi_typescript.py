"""A TypeScript client is generated from Studio's document, and a program that uses it is checked by `tsc --strict`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.peer
PACKAGES = ("openapi-typescript@7.13", "openapi-fetch@0.17", "typescript@5.9", "socket.io-client@4.8")
GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-front-end.md"
OPTIONS = (
    "--strict",
    "--noEmit",
    "--noUncheckedIndexedAccess",
    "--exactOptionalPropertyTypes",
    "--target",
    "es2022",
)
OPTIONS += ("--module", "esnext", "--moduleResolution", "bundler", "--lib", "es2022,dom")
TYPES = ("--default-non-nullable", "false")
"""A field with a default need not be sent; in answers every field is named as required."""
LIMIT_S = 240


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """Return what `studio openapi` writes."""
    folder = tmp_path_factory.mktemp("studio")
    environ = {k: v for k, v in os.environ.items() if not k.startswith("STUDIO_")}
    environ |= {"STUDIO_ENV": "test", "STUDIO_LOGGING__LEVEL": "error"}
    command = (sys.executable, "-m", "studio", "openapi")
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def folder(node_script, document):
    """Return a folder with the program, the generated types and the tools."""
    here = node_script("typescript_client.ts", *PACKAGES)
    folder = Path(here).parent
    (folder / "openapi.json").write_text(json.dumps(document))
    run(folder, "openapi-typescript", "openapi.json", "--output", "api.d.ts", "--alphabetize", *TYPES)
    return folder


def run(folder, tool, *arguments):
    command = (folder / "node_modules" / ".bin" / tool, *arguments)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, f"{tool}:\n{done.stdout[-4000:]}{done.stderr[-2000:]}"
    return done


def test_program_of_a_front_end_type_checks_against_the_generated_client(folder):
    run(folder, "tsc", *OPTIONS, "typescript_client.ts")


def test_guide_for_front_ends_type_checks_against_the_generated_client(folder):
    blocks = re.findall(r"^```ts\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    (folder / "guide.ts").write_text("\n".join(blocks))
    run(folder, "tsc", *OPTIONS, "guide.ts")


def test_generated_types_leave_no_answer_and_no_body_unknown(folder, document):
    """A schema that says nothing becomes `unknown`: nobody can use what comes back."""
    silent = []
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            for status, answer in told["responses"].items():
                for kind, content in answer.get("content", {}).items():
                    if "json" in kind and not content.get("schema"):
                        silent.append(f"{method.upper()} {path} {status}")
    assert not silent, "name a model in `returns` of these routes:\n" + "\n".join(silent)


def test_what_orders_jobs_tells_that_a_budget_may_refuse_it(document):
    told = {one["operationId"]: one for methods in document["paths"].values() for one in methods.values()}
    orders = ("generate", "batch", "retry_job", "preview_voice", "render_timeline", "start_breakdown")
    assert [name for name in orders if "402" not in told[name]["responses"]] == []


def test_every_operation_names_itself_its_security_and_its_refusals(document):
    schemes = document["components"]["securitySchemes"]
    operations = [told for methods in document["paths"].values() for told in methods.values()]
    names = [told["operationId"] for told in operations]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)
    for told in operations:
        assert (told["security"] == []) == (told["x-permission"] == "public"), told["operationId"]
        assert all(set(one) <= set(schemes) for one in told["security"])
        refusals = {s: a for s, a in told["responses"].items() if s >= "400"}
        assert refusals, told["operationId"]
        for answer in (a for s, a in refusals.items() if s != "416"):  # of a file: it has no body
            schema = answer["content"]["application/problem+json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}
