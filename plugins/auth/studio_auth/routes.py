"""Routes of sign-in, users and sessions. Answers with tokens are never stored for an Idempotency-Key."""

from __future__ import annotations

from studio import PUBLIC, SIGNED_IN, Route
from studio_auth import handlers
from studio_auth.models import ApiKeyCreated, ApiKeyPublic, OtpRequested, SessionPublic, TokenPair, UserPublic

A = "/api/auth"

ROUTES = [
    Route(
        "POST",
        f"{A}/otp/request",
        handlers.request_otp,
        PUBLIC,
        returns=OtpRequested,
        status=202,
        rate="auth",
    ),
    Route(
        "POST",
        f"{A}/otp/verify",
        handlers.verify_otp,
        PUBLIC,
        returns=TokenPair,
        idempotent=False,
        rate="auth",
        also=(401,),
    ),
    Route(
        "POST",
        f"{A}/refresh",
        handlers.refresh_tokens,
        PUBLIC,
        returns=TokenPair,
        idempotent=False,
        rate="refresh",
        also=(401,),
    ),
    Route("POST", f"{A}/logout", handlers.logout, SIGNED_IN, idempotent=False, status=204),
    Route("POST", f"{A}/logout-all", handlers.logout_all, SIGNED_IN, idempotent=False, status=204),
    Route("GET", f"{A}/me", handlers.get_me, SIGNED_IN, returns=UserPublic),
    Route("PATCH", f"{A}/me", handlers.update_me, SIGNED_IN, returns=UserPublic),
    Route("GET", f"{A}/sessions", handlers.list_sessions, SIGNED_IN, returns=SessionPublic),
    Route("DELETE", f"{A}/sessions/{{session_id}}", handlers.revoke_session, SIGNED_IN),
    Route(
        "POST",
        f"{A}/api-keys",
        handlers.create_api_key,
        SIGNED_IN,
        returns=ApiKeyCreated,
        status=201,
        idempotent=False,
    ),
    Route("GET", f"{A}/api-keys", handlers.list_api_keys, SIGNED_IN, returns=ApiKeyPublic),
    Route("DELETE", f"{A}/api-keys/{{key_id}}", handlers.revoke_api_key, SIGNED_IN),
]
