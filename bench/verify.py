"""Before the load: does a server do the work? Full comparison of each response, and the refusals.

A server that skips the token, the permission or the validation would be faster, so that it is asked for
each.
"""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

import jwt
import work


class VerifyError(Exception):
    """A server that does not do the work of `work.py`; the message says which part."""


@dataclass(frozen=True)
class Server:
    """One row of the table in `run.py`. A server without `validates` is not asked to refuse a bad body.

    A `stored` one runs what is reported only, the others run what is compared.
    """

    name: str
    file: str
    validates: bool = True
    stored: bool = False
    arguments: tuple[str, ...] = ()

    def scenarios(self) -> list[work.Scenario]:
        return [one for one in work.SCENARIOS if one.compared != self.stored]


Answer = tuple[int, bytes]


def ask(port: int, method: str, path: str, token: str | None, body: bytes = b"") -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    headers |= {"Content-Type": "application/json"} if body else {}
    try:
        connection.request(method, path, body or None, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def expected(scenario: work.Scenario) -> dict[str, Any]:
    """What the first response of a scenario must carry."""
    if scenario.key == "health":
        return {"status": "ok"}
    if scenario.path.endswith("/documents") and scenario.method == "GET":
        return work.Store().page()
    return work.make_body() if scenario.method == "POST" else work.make_document(0)


def check_created(found: dict[str, Any], owner: str) -> dict[str, Any]:
    """The fields that only the server knows: the id, the owner from the token, the time."""
    added = {key: found.get(key) for key in ("id", "ownerId", "createdAtMs")}
    if added["ownerId"] != owner or not added["id"] or not isinstance(added["createdAtMs"], int):
        raise VerifyError(f"post: expected a new id, ownerId {owner} and a createdAtMs, got {added}")
    return added


def owner_of(token: str | None) -> str:
    return jwt.decode(token, options={"verify_signature": False})["sub"] if token else work.ANYBODY


def check_answer(scenario: work.Scenario, answer: Answer, token: str | None) -> None:
    status, raw = answer
    if status != scenario.status:
        raise VerifyError(f"{scenario.key}: status {status} instead of {scenario.status}: {raw[:300]!r}")
    found, wanted = json.loads(raw), expected(scenario)
    if scenario.method == "POST":
        wanted |= check_created(found, owner_of(token))
    if found != wanted:
        raise VerifyError(f"{scenario.key}: the response does not carry the work's fields: {raw[:300]!r}")


Case = tuple[str, str | None, bytes, set[int]]


def refused_tokens(scenario: work.Scenario, outsider: str) -> list[Case]:
    """401 for no, a forged and an expired token; 403 without the permission."""
    body = scenario.body()
    return [
        ("no token", None, body, {401}),
        ("forged token", work.make_token(work.USERS[0], secret="f" * 40), body, {401}),
        ("expired token", work.make_token(work.USERS[0], life_s=-60), body, {401}),
        ("no permission", outsider, body, {403}),
    ]


def refused_bodies(token: str | None) -> list[Case]:
    good = work.make_body()
    return [
        ("empty title", token, work.compact(good | {"title": ""}), {400, 422}),
        ("unknown field", token, work.compact(good | {"nobodyKnows": 1}), {400, 422}),
    ]


def check_refusals(
    port: int, server: Server, scenario: work.Scenario, token: str | None, outsider: str
) -> None:
    cases = refused_tokens(scenario, outsider) if scenario.authenticated else []
    if server.validates and scenario.method == "POST":
        cases += refused_bodies(token)
    for what, who, body, allowed in cases:
        status, _ = ask(port, scenario.method, scenario.paths()[0], who, body)
        if status not in allowed:
            raise VerifyError(f"{scenario.key}, {what}: status {status} instead of {sorted(allowed)}")


def verify_server(port: int, server: Server, tokens: list[str], outsider: str) -> dict[str, int]:
    """Body length in bytes per scenario of a server that does the work. Raises `VerifyError`."""
    lengths: dict[str, int] = {}
    for scenario in server.scenarios():
        token = tokens[0] if scenario.authenticated else None
        answer = ask(port, scenario.method, scenario.paths()[0], token, scenario.body())
        check_answer(scenario, answer, token)
        lengths[scenario.key] = len(answer[1])
        check_refusals(port, server, scenario, token, outsider)
    return lengths
