"""Every route of the OpenAPI document, as it runs, against everybody who may not use it.

What a caller may is read from the document (`x-permission`) and from the roles' own list. A new plugin is
covered without being named: its objects are found through its own lists and creations.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

import pytest

pytestmark = pytest.mark.http
NO_OBJECT = {
    "GET /console/static/{file_name}": "files of the console's page, the same for everybody",
    "GET /console/outbox/{mail_id}": "mails of a laptop; 404 outside development",
    "GET /webhooks/static/{file_name}": "files of the page of webhooks, the same for everybody",
    "GET /api/auth/oidc/{provider}/start": "houses of the configuration, the same for everybody",
    "GET /api/auth/oidc/{provider}/callback": "as above",
    "POST /api/webhooks/{provider}": "vendors of the configuration, the same for everybody",
    "POST /api/webhooks/{provider}/{account}": "as above",
}
"""Routes with path parameters for which nobody can have an object, each with its reason."""
PUBLIC = {
    "GET /": "sends to the console",
    "GET /healthz": "says only that the process runs",
    "GET /readyz": "names the checks, for a load balancer",
    "GET /api/openapi.json": "what every front end is generated from",
    "GET /api/capabilities": "what the sign-in page has to know",
    "GET /console": "a page without data: its calls sign in",
    "GET /console/sample": "the sample story",
    "GET /console/static/{file_name}": "files of the page",
    "GET /console/outbox": "mails of a laptop; 404 outside development",
    "GET /console/outbox/{mail_id}": "as above",
    "GET /socket.io/": "the token comes inside the connection",
    "POST /socket.io/": "as above",
    "OPTIONS /socket.io/": "as above",
    "POST /api/auth/otp/request": "signing in",
    "POST /api/auth/otp/verify": "signing in",
    "POST /api/auth/refresh": "the refresh token is the right",
    "POST /api/auth/password/login": "signing in",
    "GET /api/auth/oidc": "the buttons of the sign-in page",
    "GET /api/auth/oidc/{provider}/start": "signing in",
    "GET /api/auth/oidc/{provider}/callback": "the provider's code is the right",
    "POST /api/auth/oidc/exchange": "the one-time code is the right",
    "POST /api/webhooks/{provider}": "the vendor's signature is the right: plugins/webhooks/tests/test_forgeries.py",
    "POST /api/webhooks/{provider}/{account}": "as above",
    "GET /webhooks": "a page without data: its calls sign in",
    "GET /webhooks/static/{file_name}": "files of the page",
}
"""Every route that asks nobody who they are, each with its reason."""
READING_WRITES = {
    "POST /api/assetGen/estimate": "prices an order and makes nothing",
    "DELETE /api/rbac/projects/{project_id}/collaborators/{collaborator_id}": "a member may leave; the service asks "
    "for project:invite to remove somebody else: plugins/projects/tests",
}
"""Writes that ask for a right to read only, each with its reason."""
PROVED_TWICE = {"DELETE /api/auth/password": "its body proves the caller once more; a made-up proof is a 401"}
"""Routes that refuse their own caller what the schema alone makes up, each with its reason."""
OPEN_TO_ALL_USERS: dict[str, str] = {}
"""Routes with path parameters that take any signed-in user, each with its reason."""
CHECKED_WHEN_USED = {
    "refAssetIds": "test_references.py: a panel takes no picture of another project",
    "voiceSettingId": "no code reads a setting through it; it only marks the voices stale",
    "POST /api/stories/scenes/{scene_id}/reorder sceneId": "moves shots only; of a scene nobody reads it",
}
"""Id fields that a foreign id may be written into, each with what keeps it from being of use."""
MALFORMED = (
    "nix", "0", "-1", "undefined", '{"$ne":null}', "[$ne]", "$where", "a.b", "..", "../../etc/passwd", "%",
    "\0", "a\r\nb", "' OR 1=1--", "\u202e\U0001f600", "x" * 3000,
)  # fmt: skip
OPERATORS = ({"$ne": None}, {"$gt": ""}, {"$where": "sleep(3000)"}, {"$regex": "(a+)+$"})
EXTRA = {
    "_id": "1", "id": "1", "ownerId": "1", "owner_id": "1", "userId": "1", "role": "admin", "platformRole": "admin",
    "status": "deleted", "credits": 10**9, "costUusd": 0, "createdAt": 1, "deletedAt": None,
    "scopes": ["*"],     "$set": {"role": "admin"}, "$where": "1", "__proto__": {"admin": True}, "apiBase": "http://127.0.0.1:9",
    "baseUrl": "http://127.0.0.1:9", "headers": {"Authorization": "x"},
}  # fmt: skip
BAD_TOKENS = (
    "x", "null", '{"$ne":null}', "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.", "a.b.c", "\u00e9", "x" * 7000, "studio_x",
)  # fmt: skip
REFUSED = {400, 404, 405, 409, 414, 422}


class Findings:
    """Collects what is wrong, so that one run names it all."""

    def __init__(self, stage):
        self.stage, self.found = stage, []

    async def send(self, call, person):
        answer = await self.stage.api.send(call, person and person.token)
        if person and call.operation.permission == "signed_in" and call.operation.method == "POST":
            await self.stage.renew(person)  # it may have been a sign-out
        self.expect(answer.status < 500, call, answer, "a server's error")
        self.expect("Traceback" not in answer.text, call, answer, "a traceback")
        self.expect(
            answer.status != 429, call, answer, "the rate limit hides what is tested: raise it for this file"
        )
        return answer

    def expect(self, good, call, answer, what):
        if not good:
            self.found.append(
                f"{call.operation} ({what}): sent {call.sent()[:300]} {call.headers}, got {answer}"
            )

    def no_foreign(self, call, answer, mark):
        """Nothing of the owner's is in the answer, but what the caller said itself."""
        ids = {i for i in self.stage.secret if i in answer.text and i not in call.sent()}
        self.expect(
            mark not in answer.text and not ids, call, answer, f"something of the owner's: {ids or mark}"
        )

    def report(self):
        assert not self.found, f"{len(self.found)} findings:\n" + "\n".join(self.found[:40])


@pytest.fixture
def findings(stage):
    return Findings(stage)


@pytest.fixture
def calls(stage):
    """Return the owner's own request for each route that can be built."""
    found = []
    for operation in stage.api.operations:
        with suppress(LookupError):  # the first test names it
            found.append(stage.api.build(operation, stage.owner))
    return found


def test_every_path_parameter_has_a_real_object_of_the_owner(stage):
    lacking = []
    for operation in stage.api.operations:
        if str(operation) in NO_OBJECT:
            continue
        try:
            stage.api.build(operation, stage.owner)
        except LookupError as error:
            lacking.append(str(error))
    assert not lacking, (
        "make one in `seed` of tests/security/conftest.py, or list the route in NO_OBJECT with a reason:\n"
        + "\n".join(lacking)
    )


def test_lists_of_exceptions_name_only_routes_that_exist(stage):
    known = {str(o) for o in stage.api.operations}
    listed = (
        NO_OBJECT.keys()
        | OPEN_TO_ALL_USERS.keys()
        | PUBLIC.keys()
        | READING_WRITES.keys()
        | PROVED_TWICE.keys()
    )
    assert not listed - known


def test_every_route_names_a_permission_that_exists(stage):
    told = {o.permission for o in stage.api.operations}
    assert "" not in told
    assert {"public", "signed_in", "project:read", "project:delete", "platform:operate"} <= told


def test_public_routes_are_the_agreed_ones(stage):
    found = {str(o) for o in stage.api.operations if o.public}
    assert not found - PUBLIC.keys(), "give these a permission, or list them in PUBLIC with the reason"


def test_writes_need_more_than_a_right_to_read(stage):
    writes = [o for o in stage.api.operations if o.method in ("POST", "PUT", "PATCH", "DELETE")]
    found = {str(o) for o in writes if o.permission.endswith(":read")}
    assert not found - READING_WRITES.keys(), "name the right to write, or list them in READING_WRITES"


async def test_nobody_gets_in_without_a_token(findings, calls, mark):
    for call in calls:
        answer = await findings.send(call, None)
        if not call.operation.public:
            findings.expect(answer.status == 401, call, answer, "no token, wanted 401")
        findings.no_foreign(call, answer, mark)
    findings.report()


async def test_bad_tokens_are_no_tokens(findings, calls):
    for call in calls:
        if call.operation.public:
            continue
        for token in BAD_TOKENS:
            shown = replace(call, headers={"Authorization": f"Bearer {token}", **call.headers})
            answer = await findings.send(shown, None)
            findings.expect(answer.status == 401, call, answer, f"token {token[:20]!r}, wanted 401")
    findings.report()


async def test_a_stranger_gets_nothing_of_the_owners(findings, stage, calls, mark):
    for call in calls:
        answer = await findings.send(call, stage.stranger)
        findings.no_foreign(call, answer, mark)
        operation = call.operation
        named = operation.parameters and str(operation) not in OPEN_TO_ALL_USERS
        if operation.permission not in ("public", "signed_in") or (
            operation.permission == "signed_in" and named
        ):
            findings.expect(
                answer.status in (403, 404),
                call,
                answer,
                "a stranger; wanted 404 or 403, after a body that is good",
            )
    findings.report()


async def test_a_viewer_may_what_the_role_says_and_no_more(findings, stage, calls):
    for call in calls:
        permission = call.operation.permission
        if permission in ("public", "signed_in"):
            continue
        answer = await findings.send(call, stage.viewer)
        if permission in stage.viewer_may:
            findings.expect(answer.status not in (401, 403, 404), call, answer, "a viewer may this")
        else:
            findings.expect(answer.status == 403, call, answer, "a viewer may not this, wanted 403")
    findings.report()


async def test_an_api_key_of_one_scope_reaches_nothing_else(findings, stage, calls):
    key = stage.owner.key
    for call in calls:
        if call.operation.public:
            continue
        answer = await findings.send(
            replace(call, headers={"Authorization": f"Bearer {key}", **call.headers}), None
        )
        if call.operation.permission == stage.key_scope:
            findings.expect(answer.status not in (401, 403), call, answer, "a key of this scope")
        else:
            findings.expect(answer.status == 403, call, answer, "a key without this scope, wanted 403")
    findings.report()


async def test_a_users_own_parent_opens_no_foreign_child(findings, stage, calls, mark):
    """Paths such as /projects/{mine}/collaborators/{theirs}, both ways round."""
    tried = 0
    for call in calls:
        if len(call.values) < 2:
            continue
        own = stage.api.build(call.operation, stage.stranger).values
        for name in call.values:
            if own[name] == call.values[name]:
                continue  # a number, such as a version
            tried += 1
            mixed = replace(call, values=own | {name: call.values[name]})
            answer = await findings.send(mixed, stage.stranger)
            findings.expect(answer.status in (403, 404), mixed, answer, f"a foreign {name}")
            findings.no_foreign(mixed, answer, mark)
    findings.report()
    assert tried


async def test_foreign_ids_in_a_body_or_query_are_refused(findings, stage, calls, mark):
    """A user's own request in which one id is the owner's; of a query's filter an empty list is answer enough."""
    for call in calls:
        own = stage.api.build(call.operation, stage.stranger)
        for name, mixed in with_foreign_ids(stage, own):
            answer = await findings.send(mixed, stage.stranger)
            findings.no_foreign(mixed, answer, mark)
            empty = call.operation.method == "GET" and '"items":[]' in answer.text
            checked = empty or {name, f"{call.operation} {name}"} & CHECKED_WHEN_USED.keys()
            if call.operation.permission not in ("public", "signed_in") and not checked:
                findings.expect(not answer.good, mixed, answer, f"a foreign {name} was taken")
    findings.report()


def with_foreign_ids(stage, own):
    """Yield each id field's name and the request with the owner's object there."""
    for number, (name, _) in enumerate(own.query):
        if foreign := stage.owner.named(name):
            yield name, replace(own, query=(*own.query[:number], (name, foreign), *own.query[number + 1 :]))
    fields = stage.api.sampler.fields(own.operation.body) if own.operation.body else {}
    for name, schema in fields.items():
        kind = stage.api.sampler.plain(schema).get("type")
        if name.endswith(("Id", "Ids")):
            foreign = stage.owner.named(name.removesuffix("s")) or stage.owner.names["shot_id"]
            yield (
                name,
                replace(own, body={**(own.body or {}), name: [foreign] if kind == "array" else foreign}),
            )
    for name, inner in (own.body or {}).items():
        if isinstance(inner, dict) and "id" in inner:
            yield name, replace(own, body={**own.body, name: {**inner, "id": stage.owner.names["shot_id"]}})


async def test_malformed_ids_are_refused(findings, stage, calls):
    for call in calls:
        for name in call.values:
            for bad in MALFORMED:
                wrong = replace(call, values=call.values | {name: bad})
                answer = await findings.send(wrong, holder(stage, call, stage.owner))
                if not call.operation.public:
                    findings.expect(answer.status in REFUSED, wrong, answer, "a malformed id")
    findings.report()


async def test_operators_in_the_query_are_refused(findings, stage, calls):
    for call in calls:
        for name in call.operation.query:
            others = tuple(pair for pair in call.query if pair[0] != name)
            for operator in ("[$gt]", "[$ne]", "[]", ".$gt"):
                wrong = replace(call, query=(*others, (f"{name}{operator}", "")))
                answer = await findings.send(wrong, stage.owner)
                findings.expect(answer.status == 422, wrong, answer, "an operator in a name, wanted 422")
            for operator in OPERATORS:
                wrong = replace(call, query=(*others, (name, json.dumps(operator))))
                answer = await findings.send(wrong, stage.stranger)
                private = call.operation.permission not in ("public", "signed_in")
                findings.expect(not (private and answer.good), wrong, answer, "an operator as value")
    findings.report()


async def test_operators_in_the_body_are_refused(findings, stage, calls):
    for call in calls:
        for body in with_operators(stage.api.sampler, call.operation.body, call.body):
            wrong = replace(call, body=body)
            answer = await findings.send(wrong, stage.owner)
            findings.expect(answer.status == 422, wrong, answer, "an operator, wanted 422")
    findings.report()


def with_operators(sampler, schema, body):
    """Yield the body with an operator in the place of each value, in objects within it too, and as keys of maps."""
    for name, field in sampler.fields(schema or {}).items():
        inner = sampler.plain(field)
        if inner.get("type") != "object":
            yield from ({**body, name: operator} for operator in OPERATORS)
        elif "properties" in inner:
            within = body.get(name) or {}
            yield from ({**body, name: changed} for changed in with_operators(sampler, inner, within))
        else:  # a map with keys of the client's choice
            yield from ({**body, name: {key: "words"}} for key in ("$where", "a.b", "$set", ""))


async def test_extra_fields_are_refused_in_every_object_of_a_body(findings, stage, calls):
    for call in calls:
        if not call.operation.body:
            continue
        objects = [(), *((name,) for name, value in call.body.items() if isinstance(value, dict))]
        for path in objects:
            known = call.body[path[0]] if path else stage.api.sampler.fields(call.operation.body)
            for name, value in EXTRA.items():
                if name in known:
                    continue
                body = (
                    {**call.body, path[0]: {**call.body[path[0]], name: value}}
                    if path
                    else {**call.body, name: value}
                )
                answer = await findings.send(replace(call, body=body), stage.owner)
                findings.expect(
                    answer.status == 422, replace(call, body=body), answer, "an extra field, wanted 422"
                )
    findings.report()


async def test_a_body_of_another_kind_is_refused(findings, stage, calls):
    for call in calls:
        if not call.operation.media:
            continue
        for kind in ("text/csv", "application/x-www-form-urlencoded", "application/x-python-pickle"):
            wrong = replace(call, body=None, data=b'{"a": 1}', headers={"Content-Type": kind})
            answer = await findings.send(wrong, stage.owner)
            wanted = {400, 415} if call.operation.public and not call.operation.body else {415}
            findings.expect(answer.status in wanted, wrong, answer, "a body of another kind, wanted 415")
    findings.report()


async def test_methods_that_the_document_does_not_name_are_refused(findings, stage, calls):
    for call in calls:
        for method in ("GET", "PUT", "POST", "PATCH", "DELETE", "TRACE", "PROPFIND"):
            if any(o.method == method and o.matches(call.operation.path) for o in stage.api.operations):
                continue
            other = replace(call, operation=replace(call.operation, method=method), body=None, data=None)
            answer = await findings.send(other, stage.owner)
            findings.expect(answer.status in (404, 405), other, answer, "a method that nobody declared")
    findings.report()


async def test_the_owner_and_the_admin_get_through_with_the_same_requests(findings, stage, calls):
    """The refusals above mean something: the very same requests reach what is asked for. Comes last: it deletes."""
    order = ("GET", "OPTIONS", "PUT", "PATCH", "POST", "DELETE")
    for call in sorted(calls, key=lambda c: order.index(c.operation.method)):
        if call.operation.public:
            continue
        answer = await findings.send(call, holder(stage, call, stage.owner))
        if answer.status in (401, 404):  # an earlier call ended the session or deleted the object
            fresh = await stage.another()
            call = stage.api.build(call.operation, fresh)  # noqa: PLW2901 - the same request once more
            answer = await findings.send(call, holder(stage, call, fresh))
        if str(call.operation) in PROVED_TWICE and answer.code.endswith("_refused"):
            continue
        findings.expect(answer.status not in (401, 403, 404, 415), call, answer, "the owner's own request")
    findings.report()


def holder(stage, call, owner):
    """Return who holds the permission of a call: the admin of a platform's, or the owner."""
    return stage.admin if call.operation.permission in stage.platform else owner
