"""Settings of the auth plugin, `[auth]` or `STUDIO_AUTH__…`."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

MIN_KEY_BYTES = 32
MAKE_ONE = "make one: openssl rand -base64 48"


class AuthSettings(BaseModel):
    """Times in seconds. Without `secret` a key is made once, in `key_file`; production requires `secret`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret: SecretStr | None = Field(None, validate_default=True)
    key_file: Path = Path(".studio/auth.key")
    issuer: str = "studio"
    audience: str = "studio-api"
    access_ttl_s: int = Field(900, ge=30, le=86_400)
    refresh_ttl_s: int = Field(30 * 86_400, ge=300)
    refresh_grace_s: int = Field(30, ge=0, le=60)
    otp_ttl_s: int = Field(600, ge=30, le=600)
    otp_interval_s: int = Field(60, ge=0, le=3600)
    otp_digits: int = Field(6, ge=6, le=10)
    admins: list[str] = []
    """Addresses whose owners are made admins when they sign in."""

    @field_validator("admins")
    @classmethod
    def _lower(cls, value: list[str]) -> list[str]:
        return [address.strip().lower() for address in value]

    @field_validator("secret")
    @classmethod
    def _its_own_and_long_enough(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None and (info.context or {}).get("environment") == "production":
            raise ValueError(f"is missing; production needs its own key, {MAKE_ONE}")
        if value is not None and len(value.get_secret_value().encode()) < MIN_KEY_BYTES:
            raise ValueError(f"must have at least {MIN_KEY_BYTES} bytes, {MAKE_ONE}")
        return value
