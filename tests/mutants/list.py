"""The guards that are removed one at a time, each with the tests that have to notice.

A mutation is an exact piece of text that stands once in its file, and what takes its place. When the text is
gone, `tests/mutants/test_list.py` says so in every test run: write the mutation for the guard's new words.
"""

from __future__ import annotations

from dataclasses import dataclass

CRAWLER = "tests/security/test_authorisation.py"


@dataclass(frozen=True)
class Mutant:
    """One guard, and what the code looks like without it."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    """Files or single tests that run against it."""


AUTH, KEYS, OTP = (f"plugins/auth/studio_auth/{name}.py" for name in ("service", "keys", "otp"))
OIDC, OIDC_CLIENT = (f"plugins/oidc/studio_oidc/{name}.py" for name in ("service", "client"))
TYPED, SOCKETS = "studio/web/typed.py", "plugins/socketio/studio_socketio/transport.py"

MUTANTS = (
    Mutant(
        "owner-of-one-route",
        AUTH,
        'if not await self._end({"_id": session_id, "user_id": user_id}):',
        'if not await self._end({"_id": session_id}):',
        (f"{CRAWLER}::test_a_stranger_gets_nothing_of_the_owners",),
    ),
    Mutant(
        "owner-of-one-list",
        AUTH,
        'where = {"user_id": actor.user_id, "revoked_at": None, "expires_ms": {"$gt": self._clock()}}',
        'where = {"revoked_at": None, "expires_ms": {"$gt": self._clock()}}',
        (f"{CRAWLER}::test_a_stranger_gets_nothing_of_the_owners",),
    ),
    Mutant(
        "owner-of-an-api-key",
        KEYS,
        'where = {"_id": key_id, "user_id": actor.user_id, "revoked_at": None}',
        'where = {"_id": key_id, "revoked_at": None}',
        (f"{CRAWLER}::test_a_stranger_gets_nothing_of_the_owners",),
    ),
    Mutant(
        "references-of-another-project",
        "plugins/asset_gen/studio_asset_gen/kinds/panels.py",
        'if (a["kind"], a["project_id"]) == ("image", mine)}',
        'if a["kind"] == "image" and mine}',
        ("tests/security/test_references.py",),
    ),
    Mutant(
        "child-of-another-project",
        TYPED,
        "    if other not in (None, named):\n        raise NotFoundError\n",
        "",
        ("tests/web/test_access.py",),
    ),
    Mutant(
        "constant-time-of-codes",
        OTP,
        "good = hmac.compare_digest(self._hash(challenge, code), str(wanted))",
        "good = self._hash(challenge, code) == str(wanted)",
        ("tests/security/test_constant_time.py",),
    ),
    Mutant(
        "constant-time-of-refresh-tokens",
        "plugins/auth/studio_auth/tokens.py",
        "if not hmac.compare_digest(self._seal(body).encode(), seal.encode()):",
        "if self._seal(body) != seal:",
        ("tests/security/test_constant_time.py",),
    ),
    Mutant(
        "seal-of-access-tokens",
        "plugins/auth/studio_auth/tokens.py",
        "        if not hmac.compare_digest(wanted.encode(), seal.encode()):\n",
        "        if not wanted:\n",
        ("plugins/auth/tests/test_tokens.py",),
    ),
    Mutant(
        "compare-as-bytes",
        "plugins/auth/studio_auth/tokens.py",
        "hmac.compare_digest(self._seal(body).encode(), seal.encode())",
        "hmac.compare_digest(self._seal(body), seal)",
        ("tests/security/test_constant_time.py",),
    ),
    Mutant(
        "otp-attempts",
        OTP,
        '"attempts": {"$lt": MAX_TRIES}, ',
        "",
        ("plugins/auth/tests/test_otp.py",),
    ),
    Mutant(
        "otp-single-use",
        OTP,
        'if not good or not await self._challenges.update(once, {"$set": {"used": True}}):',
        "if not good or not once:",
        ("plugins/auth/tests/test_otp.py",),
    ),
    Mutant(
        "refresh-reuse",
        AUTH,
        '            await self._end({"_id": session_id}, "session.reused" if lives else "session.ended")\n',
        "",
        ("plugins/auth/tests/test_sessions.py",),
    ),
    Mutant(
        "revocation-of-sessions",
        AUTH,
        '{"_id": session_id, "revoked_at": None, "expires_ms": {"$gt": self._clock()}}\n        )\n        user =',
        '{"_id": session_id, "expires_ms": {"$gt": self._clock()}}\n        )\n        user =',
        ("plugins/auth/tests/test_sessions.py",),
    ),
    Mutant(
        "revocation-of-api-keys",
        KEYS,
        '{"prefix": prefix, "revoked_at": None, "expires_at": {"$gt": now}}',
        '{"prefix": prefix, "expires_at": {"$gt": now}}',
        ("plugins/auth/tests/test_api_keys.py",),
    ),
    Mutant(
        "role-of-one-route",
        "plugins/workbench/studio_workbench/routes.py",
        'Route("DELETE", TIMELINE, h.delete_timeline, WRITE, load=h.load_timeline)',
        'Route("DELETE", TIMELINE, h.delete_timeline, READ, load=h.load_timeline)',
        (f"{CRAWLER}::test_writes_need_more_than_a_right_to_read",),
    ),
    Mutant(
        "sign-in-of-one-route",
        "plugins/auth/studio_auth/routes.py",
        "handlers.list_sessions, SIGNED_IN, returns=SessionPublic)",
        "handlers.list_sessions, PUBLIC, returns=SessionPublic)",
        (f"{CRAWLER}::test_public_routes_are_the_agreed_ones",),
    ),
    Mutant(
        "role-of-every-route",
        TYPED,
        "await self.deps.auth.require(request.actor, self.route.permission, project)",
        "await self.deps.auth.require(request.actor, self.route.permission.replace('write', 'read'), project)",
        (f"{CRAWLER}::test_a_viewer_may_what_the_role_says_and_no_more",),
    ),
    Mutant(
        "scope-of-an-api-key",
        TYPED,
        "if actor.scopes and not self.public and self.route.permission not in actor.scopes:",
        "if actor.scopes and not self.public and not self.route.permission:",
        ("tests/web/test_access.py", "plugins/auth/tests/test_api_keys_http.py"),
    ),
    Mutant(
        "extra-fields",
        "studio/model.py",
        'populate_by_name=True,\n        extra="forbid",\n',
        'populate_by_name=True,\n        extra="ignore",\n',
        (f"{CRAWLER}::test_extra_fields_are_refused_in_every_object_of_a_body",),
    ),
    Mutant(
        "operators-in-the-query",
        TYPED,
        "            return model.__pydantic_validator__.validate_python(values, by_alias=True, by_name=False)\n",
        "            values = {k.split('[')[0]: v for k, v in values.items()}\n"
        "            return model.__pydantic_validator__.validate_python(values, by_alias=True, by_name=False)\n",
        (f"{CRAWLER}::test_operators_in_the_query_are_refused",),
    ),
    Mutant(
        "operators-in-a-body",
        "plugins/asset_gen/studio_asset_gen/models.py",
        '    type: Literal["shot", "story"] = "shot"\n    id: Id\n',
        '    type: Literal["shot", "story"] = "shot"\n    id: Any\n',
        (f"{CRAWLER}::test_operators_in_the_body_are_refused",),
    ),
    Mutant(
        "operators-as-keys",
        "plugins/stories/studio_stories/models.py",
        'dict[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")], Note]',
        "dict[str, Note]",
        (f"{CRAWLER}::test_operators_in_the_body_are_refused",),
    ),
    Mutant(
        "login-rate-limit",
        "plugins/limits/studio_limits/limiter.py",
        '            if wait := await self.shared.hit(rate, f"{place} {subject}"):\n'
        "                raise refused(name, rate, wait)\n",
        "",
        ("plugins/limits/tests/test_limits.py",),
    ),
    Mutant(
        "address-behind-no-proxy",
        "studio/web/proxies.py",
        "    if not is_ours(address, proxies):\n        return request\n",
        "",
        ("tests/web/test_proxies.py",),
    ),
    Mutant(
        "socket-rooms",
        SOCKETS,
        "timeout(CONNECT_S):\n"
        '                await self._ctx.auth.require(client.actor, "project:read", project)\n',
        "timeout(CONNECT_S):\n                pass\n",
        ("plugins/socketio/tests/test_socketio.py",),
    ),
    Mutant(
        "socket-of-a-session-that-ended-while-it-came",
        SOCKETS,
        '        self._ctx.spawn(self._look_again(sid, shown), "look-again")\n',
        "",
        ("plugins/socketio/tests/test_socketio.py",),
    ),
    Mutant(
        "stream-of-a-session-that-ended-while-it-came",
        "plugins/sse/studio_sse/handlers.py",
        "        stream.end()\n    except StudioError",
        "        pass\n    except StudioError",
        ("plugins/sse/tests/test_events.py",),
    ),
    Mutant(
        "power-over-own-roles",
        "plugins/rbac/studio_rbac/own.py",
        "        if not frozenset().union(*filter(None, permissions)) <= held:\n",
        "        if not held:\n",
        ("plugins/rbac/tests/test_own_roles_http.py",),
    ),
    Mutant(
        "power-over-given-roles",
        "plugins/projects/studio_projects/members.py",
        "        if not given.union(*taken) <= held:\n",
        "        if not held:\n",
        ("plugins/projects/tests/test_collaborators_http.py",),
    ),
    Mutant(
        "invited-address",
        "plugins/projects/studio_projects/invitations.py",
        'if user is None or elsewhere or user["email"] != member["email"]:',
        "if user is None or elsewhere:",
        ("plugins/projects/tests/test_invitations_http.py",),
    ),
    Mutant(
        "oidc-browser",
        OIDC,
        'if flow is None or not known or not hmac.compare_digest(_hash(browser or ""), flow["browser"]):',
        "if flow is None or not known:",
        ("plugins/oidc/tests/test_oidc_http.py",),
    ),
    Mutant(
        "oidc-single-use",
        OIDC,
        'return found if await kept.delete(found["_id"]) else None',
        "return found",
        ("plugins/oidc/tests/test_oidc_http.py",),
    ),
    Mutant(
        "oidc-verified-address",
        OIDC_CLIENT,
        '    if verified is not True and verified != "true":  # some send it as text\n        return None\n',
        "",
        ("plugins/oidc/tests/test_oidc_http.py",),
    ),
    Mutant(
        "oidc-nonce",
        OIDC_CLIENT,
        '                nonce={"essential": True, "value": nonce},\n',
        "",
        ("plugins/oidc/tests/test_oidc_tokens.py",),
    ),
    Mutant(
        "oidc-audience",
        OIDC_CLIENT,
        '                aud={"essential": True, "value": self.settings.client_id},\n',
        '                aud={"essential": True},\n',
        ("plugins/oidc/tests/test_oidc_tokens.py",),
    ),
    Mutant(
        "oidc-verifier",
        OIDC_CLIENT,
        '        form |= {"code_verifier": verifier}\n',
        "",
        ("plugins/oidc/tests/test_oidc_http.py",),
    ),
    Mutant(
        "address-of-a-provider",
        "studio/address_guard.py",
        "if host not in self._allowed and not all(is_public(address) for address in addresses):",
        "if host not in self._allowed and not addresses:",
        ("tests/http_client/test_http_client.py",),
    ),
    Mutant(
        "hosts-of-a-vendors-files",
        "studio/http_call.py",
        "if self._hosts is not None and not among(request.url.host, self._hosts):",
        "if self._hosts == () and not among(request.url.host, self._hosts):",
        ("tests/http_client/test_http_client.py",),
    ),
    Mutant(
        "socket-origins",
        SOCKETS,
        "return urlsplit(origin).netloc in own or origin in self._ctx.config.web.cors_origins",
        "return bool(own)",
        ("plugins/socketio/tests/test_socketio.py",),
    ),
    Mutant(
        "cors-origins",
        "studio/web/middleware.py",
        'if (origin := request.headers.get("Origin")) in origins:',
        'if origin := request.headers.get("Origin"):',
        ("tests/web/test_answers.py",),
    ),
    Mutant(
        "cookie-writes-of-other-sites",
        TYPED,
        "and raw.method in WRITES and _CSRF_HEADER not in headers:",
        "and raw.method in () and _CSRF_HEADER not in headers:",
        ("tests/web/test_access.py",),
    ),
    Mutant(
        "kinds-of-a-body",
        TYPED,
        'if raw.headers.get("Content-Type") not in media and raw.content_type not in media:',
        "if not media:",
        (f"{CRAWLER}::test_a_body_of_another_kind_is_refused",),
    ),
    Mutant(
        "take-that-was-kept-back",
        "plugins/asset_gen/studio_asset_gen/takes.py",
        'if found["state"] != READY:',
        'if found["state"] == "gone":',
        ("plugins/moderation/tests/test_chain.py",),
    ),
    Mutant(
        "list-of-what-was-kept-back",
        "plugins/asset_gen/studio_asset_gen/takes.py",
        'where: Doc = {"project_id": query.project_id, "state": READY}',
        'where: Doc = {"project_id": query.project_id}',
        ("plugins/moderation/tests/test_chain.py",),
    ),
    Mutant(
        "verdict-of-moderation",
        "plugins/moderation/studio_moderation/service.py",
        "        if found:\n            raise _refusal(found)\n",
        "",
        ("plugins/moderation/tests/test_chain.py",),
    ),
    Mutant(
        "worker-that-was-overtaken",
        "plugins/asset_gen/studio_asset_gen/finishing.py",
        'mine = {"_id": asset["_id"], "state": PENDING, "finalizing.seq": progress.seq}',
        'mine = {"_id": asset["_id"]}',
        ("plugins/moderation/tests/test_chain.py",),
    ),
)
