"""Models of sign-in by password."""

from typing import Annotated, Self

from pydantic import AfterValidator, EmailStr, Field, SecretStr, model_validator

from studio import Model

MAX_BYTES = 1024
"""More is refused before it is hashed: hashing a megabyte is a cheap way to keep a server busy."""


def _bounded(value: SecretStr) -> SecretStr:
    try:
        size = len(value.get_secret_value().encode())
    except UnicodeEncodeError as error:
        raise ValueError("has characters that are none") from error
    if size > MAX_BYTES:
        raise ValueError(f"may have {MAX_BYTES} bytes")
    return value


Password = Annotated[SecretStr, Field(min_length=1, max_length=MAX_BYTES), AfterValidator(_bounded)]


class PasswordLogin(Model):
    """Sign in. `cookie` also sets an HttpOnly cookie, for the console."""

    email: EmailStr
    password: Password
    cookie: bool = False


class PasswordProof(Model):
    """That the caller is the owner: the password as it is, or a fresh code by mail (POST /api/auth/otp/request)."""

    current_password: Password | None = None
    code: Annotated[str | None, Field(pattern=r"^[0-9]{6,10}$")] = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.current_password is None) == (self.code is None):
            raise ValueError("give currentPassword or code, one of both")
        return self


class PasswordUpdate(PasswordProof):
    """The new password, with the proof."""

    password: Password


class PasswordState(Model):
    """Whether the caller has a password, and since when (UTC ms)."""

    is_set: bool
    changed_at: int | None = None
