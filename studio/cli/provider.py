"""`studio provider`: who generates what, and one real call with the key of the environment."""

from __future__ import annotations

import asyncio
import mimetypes
import shutil
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.markup import escape
from rich.table import Table

from studio.cli.inspect import JsonOption, platform, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from studio.app import Studio
    from studio.providers.contract import Generation, ProviderSpec
    from studio.providers.requests import GenerationRequest
    from studio.providers.wrapper import BoundProvider

EX_CONFIG = 78
POLL_S, LONGEST_S = 1.0, 900.0
TOO_MANY, SERVER_FAULT = 429, 500
NEEDS_IMAGE = ("image_edit", "video")
group = typer.Typer(
    name="provider", help="Who generates what; one real call to a vendor.", no_args_is_help=True
)


@group.command(name="list")
def list_providers(*, as_json: JsonOption = False) -> None:
    """List every provider with its models, and what to set where one is off."""
    rows = [(spec, plugin) for plugin, spec in platform().registry.all("providers")]
    if as_json:
        print_json([_row(spec, plugin) for spec, plugin in rows])
        return
    table = Table("capability", "provider", "plugin", "models", "state")
    for spec, plugin in sorted(rows, key=lambda row: (row[0].capability, row[0].priority, row[0].name)):
        models = ", ".join(model.name for model in spec.models)
        cells = (spec.capability, spec.name, plugin, models, "off" if spec.missing else "on")
        table.add_row(*map(escape, cells))
    print_table(table)
    for line in dict.fromkeys(f"{spec.name}: {spec.missing}\n" for spec, _ in rows if spec.missing):
        sys.stdout.write(line)


@group.command(name="try")
def try_provider(
    name: Annotated[str, typer.Argument(help="The provider, as `studio provider list` prints it.")],
    prompt: Annotated[str, typer.Argument(help="What to ask for.")],
    capability: Annotated[str | None, typer.Option(help="One of several that it offers.")] = None,
    model: Annotated[str | None, typer.Option(help="One of its models.")] = None,
    image: Annotated[Path | None, typer.Option(help="The picture to animate or change.")] = None,
    out: Annotated[Path, typer.Option(help="Where files are put.")] = Path("out"),
    *,
    as_json: JsonOption = False,
) -> None:
    """Make one real call, which the vendor may charge: no budget is asked, and none counts it.

    The vendor's id is printed as soon as it is known. Exit 78 names the variable that is not set.
    """
    studio = platform()
    spec = _chosen(studio, name, capability)
    if spec.missing is not None:
        sys.stderr.write(f"studio: {name} is off: {spec.missing}\n")
        raise SystemExit(EX_CONFIG)
    from studio.cli.process import run  # noqa: PLC0415 - imports the whole platform

    trial: Trial = run(studio, lambda studio: _call(studio, spec, prompt, model, image, out))
    if as_json:
        print_json(trial.told())
    else:
        sys.stdout.write("".join(f"{key:14} {value}\n" for key, value in trial.told().items()))
    if trial.error:
        sys.stderr.write(f"studio: {trial.error}\n")
    if trial.error or trial.generation is None or trial.generation.state != "succeeded":
        raise SystemExit(1)


@dataclass(slots=True)
class Trial:
    """What one call came to: the id we gave it, the last answer if any came, how long it took, and the bill."""

    request_id: str
    generation: Generation | None = None
    seconds: float = 0.0
    cost: str = "unknown"
    files: list[str] = field(default_factory=list)
    error: str = ""
    """What went wrong here; what the vendor says stands in its answer."""

    def told(self) -> dict[str, Any]:
        """Return what is printed."""
        told: dict[str, Any] = {"requestId": self.request_id}
        told |= _answer(self.generation) if self.generation else {"providerJobId": "not told"}
        told |= {"seconds": f"{self.seconds:.2f}", "cost": self.cost}
        told |= {"files": ", ".join(self.files)} if self.files else {}
        return told | ({"error": self.error} if self.error else {})


def _answer(done: Generation) -> dict[str, Any]:
    told = {
        "providerJobId": done.provider_job_id,
        "state": done.state,
        "usage": str(done.usage or "not told"),
    }
    told |= {"data": str(done.data)[:1000]} if done.data else {}
    return told | ({"error": f"{done.error.code}: {done.error.message}"} if done.error else {})


def _row(spec: ProviderSpec, plugin: str) -> dict[str, Any]:
    models = [model.name for model in spec.models]
    kept = {"capability": spec.capability, "provider": spec.name, "plugin": plugin, "models": models}
    return kept | {"missing": spec.missing, "webhooks": spec.webhooks}


def _chosen(studio: Studio, name: str, capability: str | None) -> ProviderSpec:
    specs: list[ProviderSpec] = [s for _, s in studio.registry.all("providers") if s.name == name]
    if not specs:
        _refuse(f"there is no provider {name!r}; studio provider list shows them")
    fitting = [spec for spec in specs if capability in (None, spec.capability)]
    if len(fitting) != 1:
        offered = ", ".join(spec.capability for spec in specs)
        _refuse(f"{name} offers {offered}: name one with --capability")
    return fitting[0]


def _refuse(message: str) -> NoReturn:
    sys.stderr.write(f"studio: {message}\n")
    raise SystemExit(1)


# ---------------------------------------------------------------- the call


async def _call(
    studio: Studio, spec: ProviderSpec, prompt: str, model: str | None, image: Path | None, out: Path
) -> Trial:
    """Submit, poll to the end, and copy the files to `out`; nobody is asked for a budget."""
    from studio.errors import StudioError  # noqa: PLC0415 - imports the whole platform
    from studio.model import new_id  # noqa: PLC0415 - as above

    async with _bound(studio, spec, model) as bound:
        request = await _request(bound, f"try-{new_id()}", prompt, model, image)
        trial, start = Trial(request.job_id), time.perf_counter()
        try:
            await _finish(trial, bound, request)
        except StudioError as error:
            trial.error = f"{error.code}: {error.detail}"
        except TimeoutError:
            trial.error = f"it has not ended within {LONGEST_S:g} s, and may still be charged"
        trial.seconds = time.perf_counter() - start
        if trial.generation is not None:
            trial.cost = _cost(bound, request, trial.generation)
            try:
                trial.files = await _kept(studio, spec, trial.generation, out)
            except (StudioError, OSError) as error:
                trial.error = f"its files could not be kept: {getattr(error, 'detail', error)}"
        return trial


@asynccontextmanager
async def _bound(studio: Studio, spec: ProviderSpec, model: str | None) -> AsyncIterator[BoundProvider]:
    """Yield the provider as features get it, with its plugin started; no database and no server are needed."""
    from studio.hooks import StudioHooks  # noqa: PLC0415 - imports the whole platform
    from studio.http_client import HttpClients  # noqa: PLC0415 - as above
    from studio.providers.registry import Providers  # noqa: PLC0415 - as above
    from studio.testing.memory import InMemoryDatabase  # noqa: PLC0415 - as above

    owner = next(plugin for plugin, one in studio.registry.all("providers") if one is spec)
    record, services = studio.loader.records[owner], studio.services
    services.http, services.database = HttpClients(studio.metrics), InMemoryDatabase()
    services.providers = Providers(studio.settings, studio.dispatcher)
    if record.ctx is None or record.plugin is None:
        _refuse(f"the plugin {owner} is {record.state}: {record.error}")
    services.providers.register(owner, record.ctx, [spec])
    async with AsyncExitStack() as stack:
        stack.push_async_callback(services.http.close)
        if type(record.plugin).lifespan is not StudioHooks.lifespan:
            await stack.enter_async_context(record.plugin.lifespan(record.ctx))
        yield services.providers.get(spec.capability, spec.name, model)


async def _request(
    bound: BoundProvider, request_id: str, prompt: str, model: str | None, image: Path | None
) -> GenerationRequest:
    """Return a small request of the provider's capability."""
    from studio.providers import requests as r  # noqa: PLC0415 - imports the whole platform

    keys: dict[str, Any] = {"job_id": request_id, "model": model}
    capability = bound.spec.capability
    if capability in NEEDS_IMAGE and image is None:
        _refuse(f"{capability} needs a picture: --image FILE")
    if capability == "chat":
        return r.ChatRequest(**keys, messages=(r.ChatMessage(role="user", text=prompt),))
    if capability == "voice":
        voices = await bound.voices()
        return r.VoiceRequest(**keys, text=prompt, voice=voices[0].id if voices else "default")
    if capability == "music":
        return r.MusicRequest(**keys, prompt=prompt, duration_ms=5_000)
    if capability == "image":
        return r.ImageRequest(**keys, prompt=prompt, width=1024, height=1024)
    if capability == "image_edit" and image:
        return r.ImageEditRequest(**keys, operation="variation", image=image, prompt=prompt)
    if capability == "video" and image:
        return r.VideoRequest(**keys, prompt=prompt, image=image, duration_ms=5_000)
    _refuse(f"{capability} cannot be tried with a prompt")


async def _finish(trial: Trial, bound: BoundProvider, request: GenerationRequest) -> None:
    """Submit and poll to the end; `trial` has the last answer however this ends."""
    async with asyncio.timeout(LONGEST_S):
        trial.generation = done = await bound.submit(request)
        sys.stderr.write(f"studio: {bound.name} calls it {done.provider_job_id}\n")
        wait = done.retry_after_s
        while trial.generation.state == "running":
            await asyncio.sleep(wait or POLL_S)
            wait = await _poll(trial, bound, done.provider_job_id)


async def _poll(trial: Trial, bound: BoundProvider, provider_job_id: str) -> float | None:
    """Ask once, and return when to ask again; a failure that may pass is said and asked again after."""
    from studio.errors import ProviderRejectedError, StudioError  # noqa: PLC0415 - imports the whole platform

    try:
        trial.generation = await bound.poll(provider_job_id)
    except ProviderRejectedError:
        raise
    except StudioError as error:
        if error.status < SERVER_FAULT and error.status != TOO_MANY:
            raise
        sys.stderr.write(f"studio: {error.code}: {error.detail} It is asked again.\n")
        return error.retry_after
    return trial.generation.retry_after_s


def _cost(bound: BoundProvider, request: GenerationRequest, done: Generation) -> str:
    """Say the cost and how it is known."""
    priced, estimate = bound.price(request.model, done.usage), bound.estimate(request).cost_uusd
    known = ((done.cost_source, done.cost_uusd), ("computed", priced), ("estimated", estimate))
    return next((f"{cost / 1e6:.6f} USD, {how}" for how, cost in known if cost is not None), "unknown")


async def _kept(studio: Studio, spec: ProviderSpec, done: Generation, out: Path) -> list[str]:
    """Copy every file to `out`, from the provider's own hosts only, and return their paths."""
    studio.services.providers.check_files(spec.capability, spec.name, done)
    client = studio.services.http.client("provider.try", deadline_s=120)
    kept = []
    for number, file in enumerate(done.files):
        await asyncio.to_thread(out.mkdir, parents=True, exist_ok=True)
        suffix = mimetypes.guess_extension(file.mime) or f".{file.mime.rpartition('/')[2]}"
        target = out / f"{spec.name}-{spec.capability}-{number}{suffix}"
        if file.path is not None:
            await asyncio.to_thread(shutil.copyfile, file.path, target)
        else:
            await client.download(file.url or "", target, hosts=spec.file_hosts)
        kept.append(str(target))
    return kept
