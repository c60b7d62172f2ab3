"""`studio usage check`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio_usage.models import CheckReport
from studio_usage.schedule import Schedule
from studio_usage.settings import UsageSettings

if TYPE_CHECKING:
    from studio import PluginContext


def build_commands(ctx: PluginContext) -> typer.Typer:
    """Return the command group `usage`."""
    group = typer.Typer(name="usage", help="The ledger and the budgets.", no_args_is_help=True)

    @group.callback()
    def usage() -> None:
        """Keep `check` a word of its own, also while it is the only one."""

    @group.command()
    def check(
        *,
        repair: Annotated[bool, typer.Option("--repair", help="Correct budgets that differ.")] = False,
        everything: Annotated[bool, typer.Option("--all", help="Look at all of the past.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> None:
        """Compare the ledger with budgets and jobs; exit 1 when they differ."""

        async def run(started: PluginContext) -> Any:
            days = None if everything else started.settings(UsageSettings).check_days
            return await started.service(Schedule).check(days, repair=repair)

        report = ctx.ask(run)
        shown = CheckReport(**report).model_dump_json(by_alias=True, indent=2) if as_json else told(report)
        typer.echo(shown)
        raise typer.Exit(1 if report["differences"] else 0)

    return group


def told(report: dict[str, Any]) -> str:
    """Return a report for people."""
    counts = "{attempts} attempts, {budgets} budgets, {jobs} jobs compared".format(**report)
    lines = [f"{counts}; {report['repaired']} repaired, {report['flagged']} flagged"]
    one = "{what} of {id}: the ledger says {ledger}, found {found}"
    lines += [one.format(**found) for found in report["differences"]]
    return "\n".join(lines)
