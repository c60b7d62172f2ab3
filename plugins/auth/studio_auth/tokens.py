"""Access tokens: one algorithm, every claim required, the type in the header. Refresh tokens: sealed."""

from __future__ import annotations

import base64
import hmac
import os
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from joserfc.jws import JWSRegistry

from studio import ConfigError, new_id, now_ms
from studio_auth.settings import MIN_KEY_BYTES, AuthSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from joserfc.jwt import ClaimsOption

ALGORITHM, TYPE = "HS256", "at+jwt"
LEEWAY_S = 30
MAX_TOKEN_BYTES = 4096
NEEDED: ClaimsOption = {"essential": True}


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good access token says; `expires_ms` is its `exp`, in UTC ms."""

    user_id: str
    session_id: str
    expires_ms: int = field(default=0, compare=False)


class Tokens:
    """Signs and reads access tokens (RFC 9068) and refresh tokens; `clock` in UTC ms."""

    def __init__(self, settings: AuthSettings, clock: Callable[[], int] = now_ms) -> None:
        self._settings = settings
        self._clock = clock
        key = _key(settings)
        self.pepper = hmac.digest(key, b"otp", "sha256")
        """A key of its own for one-time codes."""
        self._refresh_key = hmac.digest(key, b"refresh", "sha256")
        self._secret, self._key = key, OctKey.import_key(key)
        self._registry = JWSRegistry(algorithms=[ALGORITHM])
        self._claims = jwt.JWTClaimsRegistry(
            now=lambda: clock() // 1000,
            leeway=LEEWAY_S,
            iss={"essential": True, "value": settings.issuer},
            aud={"essential": True, "value": settings.audience},
            exp=NEEDED,
            iat=NEEDED,
            sub=NEEDED,
            jti=NEEDED,
            sid=NEEDED,
        )
        self._head = self.issue("", "").partition(".")[0] + "."
        """What every token of ours begins with."""

    def issue(self, user_id: str, session_id: str) -> str:
        """Return a signed access token."""
        now = self._clock() // 1000
        claims = {
            "iss": self._settings.issuer,
            "aud": self._settings.audience,
            "sub": user_id,
            "sid": session_id,
            "jti": new_id(),
            "iat": now,
            "exp": now + self._settings.access_ttl_s,
        }
        return jwt.encode({"alg": ALGORITHM, "typ": TYPE}, claims, self._key, registry=self._registry)

    def read(self, token: str) -> Claims | None:
        """Return the claims of a good token, None for anything else."""
        if len(token) > MAX_TOKEN_BYTES or not token.isascii():
            return None
        try:
            claims = self._ours(token) if token.startswith(self._head) else self._anybodys(token)
            self._claims.validate(claims)
        except (JoseError, ValueError, TypeError, RecursionError):
            return None
        subject, session = claims["sub"], claims["sid"]
        if not (isinstance(subject, str) and isinstance(session, str)):
            return None
        return Claims(subject, session, int(claims["exp"] * 1000))

    def _ours(self, token: str) -> dict[str, Any]:
        """Return the claims of a token with our own header: nothing in it is left to choose, so that its seal is all.

        A third of what a general reader takes, and the first request of each token waits for it. Raises ValueError.
        """
        signed, _, seal = token.rpartition(".")
        wanted = _encoded(hmac.digest(self._secret, signed.encode(), "sha256"))
        if not hmac.compare_digest(wanted.encode(), seal.encode()):
            raise ValueError("another key's")
        payload = signed.partition(".")[2]
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        if not isinstance(claims, dict):
            raise TypeError("no claims")
        return claims

    def _anybodys(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that says the same in another header; raises JoseError, ValueError."""
        found = jwt.decode(token, self._key, algorithms=[ALGORITHM], registry=self._registry)
        if found.header.get("typ") != TYPE:
            raise ValueError("another kind")
        return found.claims

    def issue_refresh(self, session_id: str) -> str:
        """Return the first refresh token of a session."""
        return self._sealed(session_id, secrets.token_urlsafe(32))

    def next_refresh(self, session_id: str, refresh_token: str) -> str:
        """Return the token that follows on a good one: always the same, so that asking twice forks nothing."""
        return self._sealed(session_id, self._seal(f"after {refresh_token}"))

    def session_of(self, refresh_token: str) -> str | None:
        """Return the session of a refresh token that we made, however old; None for anybody else's."""
        body, _, seal = refresh_token.rpartition(".")
        if not hmac.compare_digest(self._seal(body).encode(), seal.encode()):
            return None
        return body.partition(".")[0]

    def _sealed(self, session_id: str, secret: str) -> str:
        body = f"{session_id}.{secret}"
        return f"{body}.{self._seal(body)}"

    def _seal(self, body: str) -> str:
        return _encoded(hmac.digest(self._refresh_key, body.encode(), "sha256"))


def _encoded(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _key(settings: AuthSettings) -> bytes:
    if settings.secret is not None:
        return settings.secret.get_secret_value().encode()
    return _kept_key(settings.key_file)


def _kept_key(path: Path) -> bytes:
    """Return the key of this installation, made at the first start.

    It appears under its name in one step and whole, so that two starts at once agree on one.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_hex(MIN_KEY_BYTES * 2).encode())
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink(missing_ok=True)
    key = path.read_bytes()
    if len(key) < MIN_KEY_BYTES:
        raise ConfigError([f"{path} is too short to sign with: delete it, everybody signs in again"])
    return key
