"""Models of sign-in, users and sessions."""

from typing import Annotated, Literal

from pydantic import EmailStr, Field, StringConstraints

from studio import Model

# No control characters, no line or paragraph separators, nothing that turns the direction of a text.
PLAIN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]*$"


class OtpRequest(Model):
    """Ask for a code by mail."""

    email: EmailStr


class OtpRequested(Model):
    """The same answer for every address: who is known here is nobody's business."""

    status: Literal["sent"] = "sent"
    expires_in: int


class OtpVerify(Model):
    """Show the code. `cookie` also sets an HttpOnly cookie, for the console."""

    email: EmailStr
    code: Annotated[str, Field(pattern=r"^[0-9]{6,10}$")]
    cookie: bool = False


class RefreshRequest(Model):
    """Trade a refresh token for a new pair; each is good once. `cookie` also renews the console's cookie."""

    refresh_token: Annotated[str, Field(min_length=20, max_length=200)]
    cookie: bool = False


class UserPublic(Model):
    """An account as its owner sees it."""

    id: str
    email: str
    name: str = ""
    locale: str = "en"
    platform_role: str
    status: str
    created_at: int


class UserUpdate(Model):
    """What a user may change."""

    name: Annotated[str, StringConstraints(max_length=120, pattern=PLAIN, strip_whitespace=True)] | None = (
        None
    )
    locale: Annotated[str | None, Field(pattern=r"^[a-z]{2}(-[A-Za-z]{2,4})?$")] = None


class TokenPair(Model):
    """Tokens of a session; `expires_in` seconds of the access token."""

    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the scheme's name, no secret
    expires_in: int
    user: UserPublic


class SessionPublic(Model):
    """One signed-in device; times in UTC ms."""

    id: str
    device: str = ""
    ip: str = ""
    current: bool = False
    created_at: int
    last_seen_at: int


class ApiKeyCreate(Model):
    """A key to make. `scopes` are permissions, and "signed_in" for what a user owns without a project."""

    name: Annotated[
        str, StringConstraints(min_length=1, max_length=120, pattern=PLAIN, strip_whitespace=True)
    ]
    scopes: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=100)]], Field(min_length=1, max_length=100)
    ]
    expires_in_days: Annotated[int, Field(ge=1, le=3650)] = 90


class ApiKeyPublic(Model):
    """A key as its owner sees it; times in UTC ms, `last_used_at` to five minutes."""

    id: str
    name: str
    prefix: str
    scopes: list[str]
    created_at: int
    expires_at: int
    last_used_at: int | None = None


class ApiKeyCreated(ApiKeyPublic):
    """A new key. `key` is the secret, to be sent as `Authorization: Bearer stk_…`; it is shown this once."""

    key: str
