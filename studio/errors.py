"""The exception tree of Studio.

StudioError                        500 internal_error
├── BadRequestError                400 bad_request
├── UnauthenticatedError           401 unauthenticated
├── BudgetExceededError            402 budget_exceeded
├── ForbiddenError                 403 forbidden
├── NotFoundError                  404 not_found
├── ConflictError                  409 conflict
│   └── IdempotencyError           409 idempotency_key_reused
├── PayloadTooLargeError           413 payload_too_large
├── UnsupportedMediaTypeError      415 unsupported_media_type
├── InvalidInputError              422 invalid_input
├── RateLimitedError               429 rate_limited
├── ProviderError                  502 provider_failed
│   ├── ProviderRejectedError      422 provider_rejected     (never repeated)
│   └── OutcomeUnknownError        502 outcome_unknown       (never repeated blindly)
├── UnavailableError               503 unavailable
│   ├── DatabaseUnavailableError   503 database_unavailable
│   ├── PluginUnavailableError     503 plugin_unavailable
│   └── ProviderUnavailableError   503 provider_unavailable
├── DeadlineExceededError          504 deadline_exceeded
└── StorageFullError               507 storage_full
ConfigError                        exit 78 (EX_CONFIG), never over HTTP
PluginError                        a plugin could not be loaded; kept in its state, never raised to a client
"""

from __future__ import annotations

from typing import Any, ClassVar


class StudioError(Exception):
    """An error with a stable machine-readable `code` and an HTTP `status`.

    `detail` is shown to the client: it says what to do and never holds a secret. `extra` members join the
    problem document (camelCase them yourself); `retry_with` lists machine-readable ways out (`retryWith`);
    `headers` join the answer's.
    """

    status: ClassVar[int] = 500
    code: str = "internal_error"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str = "",
        *,
        code: str | None = None,
        retry_with: list[dict[str, Any]] | None = None,
        retry_after: float | None = None,
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.code = code or type(self).code
        self.retry_with = retry_with
        self.retry_after = retry_after
        self.headers = headers or {}
        self.extra = extra


class BadRequestError(StudioError):
    """The request cannot be read at all."""

    status, code, title = 400, "bad_request", "Bad request"


class UnauthenticatedError(StudioError):
    """Nobody is signed in, or the credentials are no longer good."""

    status, code, title = 401, "unauthenticated", "Sign in first"


class BudgetExceededError(StudioError):
    """The cost owner said no."""

    status, code, title = 402, "budget_exceeded", "Budget exceeded"


class ForbiddenError(StudioError):
    """The actor is known and may not do this."""

    status, code, title = 403, "forbidden", "Not allowed"


class NotFoundError(StudioError):
    """No such object, or none that this actor may know of."""

    status, code, title = 404, "not_found", "Not found"


class ConflictError(StudioError):
    """The object exists already or was changed by somebody else."""

    status, code, title = 409, "conflict", "Conflict"


class IdempotencyError(ConflictError):
    """The Idempotency-Key was used before with another body, or its first request is still running."""

    code, title = "idempotency_key_reused", "Idempotency key reused"


class PayloadTooLargeError(StudioError):
    """The body is larger than the route allows."""

    status, code, title = 413, "payload_too_large", "Payload too large"


class UnsupportedMediaTypeError(StudioError):
    """The body is of a kind that the route does not read."""

    status, code, title = 415, "unsupported_media_type", "Unsupported media type"


class InvalidInputError(StudioError):
    """The body, query or file was read and is wrong; `errors` names each field."""

    status, code, title = 422, "invalid_input", "Invalid input"


class RateLimitedError(StudioError):
    """Too many calls; `retry_after` says when to come back (seconds)."""

    status, code, title = 429, "rate_limited", "Too many requests"


class ProviderError(StudioError):
    """A vendor call failed in a way that is safe to repeat."""

    status, code, title = 502, "provider_failed", "Provider failed"
    retryable: ClassVar[bool] = True


class ProviderRejectedError(ProviderError):
    """The vendor refused the input; repeating it cannot help."""

    status, code, title = 422, "provider_rejected", "Provider refused the input"
    retryable = False


class OutcomeUnknownError(ProviderError):
    """The call may have reached the vendor: it must be reconciled, never repeated blindly."""

    code, title = "outcome_unknown", "Outcome unknown"
    retryable = False


class UnavailableError(StudioError):
    """Something the request needs is away for now."""

    status, code, title = 503, "unavailable", "Temporarily unavailable"


class DatabaseUnavailableError(UnavailableError):
    """The database did not answer in time."""

    code, title = "database_unavailable", "Database unavailable"


class PluginUnavailableError(UnavailableError):
    """The plugin that owns this address failed, is off, or is blocked."""

    code, title = "plugin_unavailable", "Plugin unavailable"


class ProviderUnavailableError(UnavailableError):
    """No provider of this capability is on, or its circuit is open."""

    code, title = "provider_unavailable", "Provider unavailable"


class DeadlineExceededError(StudioError):
    """The work took longer than its deadline."""

    status, code, title = 504, "deadline_exceeded", "Deadline exceeded"


class StorageFullError(StudioError):
    """There is no room left on the disk."""

    status, code, title = 507, "storage_full", "Storage full"


class ConfigError(Exception):
    """The configuration is wrong. `problems` holds every error found, one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class PluginError(Exception):
    """A plugin cannot be used; the message says in which phase and why."""
