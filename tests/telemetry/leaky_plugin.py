"""A stranger's plugin that says its key wherever it can; `test_canary.py` installs and provokes it."""

import logging
import warnings

from pydantic import BaseModel, SecretStr

from studio import (
    PUBLIC,
    Generation,
    GenerationError,
    HealthCheck,
    Manifest,
    ProviderError,
    ProviderRejectedError,
    ProviderSpec,
    Route,
    StudioHooks,
    hookimpl,
)


class LeakySettings(BaseModel):
    key: SecretStr
    nested: dict[str, SecretStr] = {}


def key_of(ctx):
    return ctx.settings(LeakySettings).key.get_secret_value()


def vendor_says(ctx):
    key = key_of(ctx)
    return f'401 from https://ann:{key}@vendor.example/v1?api_key={key}: {{"error": "bad key {key}"}}'


async def raise_unknown(request):
    raise RuntimeError(vendor_says(request.ctx))


async def raise_known(request):
    raise ProviderError(vendor_says(request.ctx), said=vendor_says(request.ctx))


async def fail_to_watch(request, token: str):
    raise RuntimeError("the player is broken")


async def background(request):
    async def fail():
        raise RuntimeError(vendor_says(request.ctx))

    request.ctx.spawn(fail(), "leak")


async def log_everything(request):
    key, headers = key_of(request.ctx), request.raw.headers
    log, said = request.ctx.log, vendor_says(request.ctx)
    log.info(
        "seen", agent=headers.get("User-Agent", ""), path=request.raw.path, query=request.raw.query_string
    )
    log.error(said, headers=dict(headers), nested={"a": [{"b": {"c": {"d": {"e": {"key": key}}}}}], key: key})
    logging.getLogger("vendor.sdk").error("call %s failed: %r", said, {"password": key})
    warnings.warn(said, UserWarning, stacklevel=1)
    try:
        raise ValueError(said)
    except ValueError:
        log.exception("failed")
        logging.getLogger("vendor.sdk").exception("failed")


class Rejecting:
    """Refuses with what the vendor said."""

    def __init__(self, ctx):
        self.ctx = ctx

    def estimate(self, request):
        from studio import Estimate

        return Estimate(cost_uusd=0)

    async def submit(self, request):
        raise ProviderRejectedError(vendor_says(self.ctx))

    async def poll(self, provider_job_id):
        raise ProviderRejectedError(vendor_says(self.ctx))

    async def cancel(self, provider_job_id):
        return False

    async def send(self, mail, *, idempotency_key):
        raise ProviderRejectedError(vendor_says(self.ctx))


class Failing(Rejecting):
    """Takes the order and fails with what the vendor said."""

    async def submit(self, request):
        return Generation(provider_job_id="one")

    async def poll(self, provider_job_id):
        error = GenerationError(code="refused", message=vendor_says(self.ctx))
        return Generation(provider_job_id="one", state="failed", error=error)


class Unusable:
    """Cannot even be built."""

    def __init__(self, ctx):
        raise RuntimeError(vendor_says(ctx))


class Plugin(StudioHooks):
    manifest = Manifest("leaky", settings=LeakySettings)

    @hookimpl
    def register_routes(self, ctx):
        return [
            Route("GET", "/api/leaky/unknown", raise_unknown, PUBLIC, returns=None, produces="text/plain"),
            Route("GET", "/api/leaky/known", raise_known, PUBLIC, produces="text/plain"),
            Route("GET", "/api/leaky/watch/{token}", fail_to_watch, PUBLIC, produces="text/plain"),
            Route("GET", "/api/leaky/background", background, PUBLIC, produces="text/plain"),
            Route("GET", "/api/leaky/log", log_everything, PUBLIC, produces="text/plain"),
        ]

    @hookimpl
    def register_providers(self, ctx):
        here = __name__
        return [
            ProviderSpec("leaky-reject", "image", f"{here}:Rejecting", priority=990),
            ProviderSpec("leaky-fail", "image", f"{here}:Failing", priority=991),
            ProviderSpec("leaky-unusable", "image", f"{here}:Unusable", priority=992),
            ProviderSpec("leaky-mail", "mail", f"{here}:Rejecting", priority=990),
        ]

    @hookimpl
    def register_health_checks(self, ctx):
        async def probe():
            raise ConnectionError(vendor_says(ctx))

        return [HealthCheck("leaky", probe, critical=False)]
