"""`studio jobs`: look at jobs, cancel them, try them again, let the queue wait.

It reads the database, not a server: an operator needs it most when the server is down or overloaded, no token has
to be found first, and the document is the truth anyway. `cancel` and `retry` need the plugins too (prices, holds):
they start the whole platform for a moment, without HTTP and without a worker; whoever works finds the job.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic.alias_generators import to_camel
from rich.markup import escape
from rich.table import Column, Table

from studio.cli.inspect import JsonOption, print_json, print_table
from studio.model import now_ms

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from studio.app import Studio
    from studio.model import Doc

group = typer.Typer(name="jobs", help="Look at jobs, cancel, retry and pause them.", no_args_is_help=True)
JobId = Annotated[str, typer.Argument(help="The job's id, as `studio jobs list` prints it.")]
COLUMNS = ("id", "kind", "state", "try", "%", "age", "error")


@group.command(name="list")
def list_jobs(
    state: Annotated[str | None, typer.Option(help="Only these, e.g. failed or queued.")] = None,
    project: Annotated[str | None, typer.Option(help="Only those of this project's id.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many.")] = 50,
    *,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first."""
    from studio.jobs.scanner import is_paused  # noqa: PLC0415 - imports the whole platform

    chosen = {"state": _checked(state), "project_id": project}
    where: Doc = {key: value for key, value in chosen.items() if value is not None}

    async def read(studio: Studio) -> Any:
        jobs = studio.services.database["jobs"]
        page = await jobs.page({"kind": {"$gt": ""}} | where, limit=limit, newest_first=True)
        return page, await is_paused(jobs)

    page, paused = _ask(read, whole=False)
    if as_json:
        print_json([_shown(job) for job in page.items])
        return
    table = Table(*(Column(name, no_wrap=name in ("id", "kind", "state")) for name in COLUMNS))
    for job in page.items:
        table.add_row(*(escape(str(cell)) for cell in _cells(job)))
    print_table(table)
    if paused:
        sys.stdout.write("The queue is paused: queued jobs wait for `studio jobs resume`.\n")
    if page.next_cursor:
        sys.stdout.write(f"There are more than {limit}; narrow it with --state or --project.\n")


@group.command(name="show")
def show_job(job_id: JobId) -> None:
    """Print everything that is stored of one job, as JSON."""

    async def read(studio: Studio) -> Doc | None:
        return await studio.services.database["jobs"].get(job_id)

    job = _ask(read, whole=False)
    if job is None or "kind" not in job:
        _refuse(f"there is no job {job_id!r}; studio jobs list shows them")
    print_json(_shown(job))


@group.command(name="cancel")
def cancel_job(job_id: JobId, *, as_json: JsonOption = False) -> None:
    """Cancel a job: a queued one at once, one under way as soon as its provider was told."""
    _tell(_ask(lambda studio: studio.services.jobs.cancel(job_id)), as_json=as_json)


@group.command(name="retry")
def retry_job(job_id: JobId, *, as_json: JsonOption = False) -> None:
    """Begin another attempt of a failed or cancelled job; it is held and charged as a new one."""
    _tell(_ask(lambda studio: studio.services.jobs.retry(job_id)), as_json=as_json)


@group.command(name="pause")
def pause_jobs() -> None:
    """Leave queued jobs where they are, in every server and worker, until `resume`; those under way go on."""
    _ask(lambda studio: studio.services.jobs.pause())
    sys.stdout.write("Queued jobs wait. Go on with: studio jobs resume\n")


@group.command(name="resume")
def resume_jobs() -> None:
    """Let queued jobs run again."""
    _ask(lambda studio: studio.services.jobs.pause(paused=False))
    sys.stdout.write("Queued jobs run.\n")


def _ask(question: Callable[[Studio], Awaitable[Any]], *, whole: bool = True) -> Any:
    from studio.cli.process import ask  # noqa: PLC0415 - imports the whole platform

    return ask(question, whole=whole)


def _checked(state: str | None) -> str | None:
    from studio.jobs.contract import ACTIVE, TERMINAL  # noqa: PLC0415 - as above

    known = (*ACTIVE, *TERMINAL)
    if state is not None and state not in known:
        _refuse(f"{state!r} is no state of a job; there are {', '.join(known)}")
    return state


def _refuse(message: str) -> None:
    sys.stderr.write(f"studio: {message}\n")
    raise SystemExit(1)


def _shown(job: Doc) -> Doc:
    hidden = ("_id", "callback_token")
    return {"id": job["_id"]} | {to_camel(key): value for key, value in job.items() if key not in hidden}


def _cells(job: Doc) -> list[Any]:
    age = timedelta(seconds=(now_ms() - job["created_at"]) // 1000)
    error = (job.get("error") or {}).get("code", "")
    return [
        *(job[key] for key in ("_id", "kind", "state", "attempt")),
        job["progress"]["pct"],
        str(age),
        error,
    ]


def _tell(job: Doc, *, as_json: bool) -> None:
    if as_json:
        print_json(_shown(job))
    else:
        sys.stdout.write(f"{job['_id']}: {job['state']}, attempt {job['attempt']}\n")
