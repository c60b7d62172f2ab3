"""Hooks of the plugin `jira`: wiring only. The client is imported at its first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import Manifest, ModelSpec, ProviderSpec, StudioHooks, hookimpl
from studio_jira.settings import JiraSettings

if TYPE_CHECKING:
    from studio import PluginContext


class Plugin(StudioHooks):
    """Issues in Jira Cloud."""

    manifest = Manifest(name="jira", settings=JiraSettings)

    @hookimpl
    def register_providers(self, ctx: PluginContext) -> list[ProviderSpec]:
        """Return the issue tracker; what is not configured says what to set."""
        unset = ctx.settings(JiraSettings).unset
        return [
            ProviderSpec(
                name="jira",
                capability="issue_tracker",
                target="studio_jira.client:JiraIssueTracker",
                models=(ModelSpec("jira-cloud-3", price_kind="free", unit_price_uusd=0),),
                missing=f"set {', '.join(f'STUDIO_JIRA__{n.upper()}' for n in unset)}" if unset else None,
                deadline_s=75.0,  # longer than any call takes: its own deadline knows what may have arrived
            )
        ]
