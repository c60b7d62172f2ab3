"""What is compared with a secret is compared in constant time, and as bytes: text that is not ASCII is no error."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECRET = re.compile(r"hash|seal|signature|digest|secret|token|mac$|password", re.IGNORECASE)
REFUSED = {401, 422}


def handles_secrets(tree):
    return any(
        isinstance(n, ast.Import) and "hmac" in {alias.name for alias in n.names} for n in ast.walk(tree)
    )


def modules():
    """Yield the modules that import hmac: those that check what somebody shows."""
    for path in [*ROOT.glob("studio/**/*.py"), *ROOT.glob("plugins/**/*.py")]:
        if "tests" not in path.parts and handles_secrets(tree := ast.parse(path.read_text())):
            yield path.relative_to(ROOT), tree


def names(node):
    """Return the names that a compared expression is made of."""
    return {
        text
        for part in ast.walk(node)
        for text in (getattr(part, "id", ""), getattr(part, "attr", ""), getattr(part, "value", ""))
        if isinstance(text, str)
    }


@pytest.mark.pure
def test_no_secret_is_compared_by_equality():
    found, calls = [], 0
    for path, tree in modules():
        for node in ast.walk(tree):
            calls += isinstance(node, ast.Attribute) and node.attr == "compare_digest"
            if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Eq | ast.NotEq):
                continue
            if any(SECRET.search(name) for name in names(node)) and not isinstance(
                node.comparators[0], ast.Constant
            ):
                found.append(f"{path}:{node.lineno}: {ast.unparse(node)}")
    assert not found, "compare with hmac.compare_digest, as bytes:\n" + "\n".join(found)
    assert calls >= 3, "one-time codes, refresh tokens and API keys are compared somewhere"


@pytest.mark.http
@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/api/auth/refresh",
            {"refreshToken": "01HZY." + "\u00e9" * 20},
        ),
        ("/api/auth/refresh", {"refreshToken": "." * 40}),
        (
            "/api/auth/otp/verify",
            {"email": "ann@example.org", "code": "\u0661\u0662\u0663\u0664\u0665\u0666"},
        ),
    ],
)
async def test_secret_that_is_not_ascii_is_refused_and_no_error(server, path, body):
    answer = await server.post(path, body)
    assert answer.status in REFUSED, answer


@pytest.mark.http
@pytest.mark.parametrize(
    "shown",
    ["Bearer \u00e9", "Bearer stk_\u00e9", "Bearer stk_" + "a" * 10 + "_" + "\u00e9" * 43, "Basic \u00e9"],
)
async def test_token_that_is_not_ascii_is_refused_and_no_error(server, shown):
    answer = await server.get("/api/auth/me", headers={"Authorization": shown})
    assert answer.status == 401, answer
