"""Routes of the activity feed."""

from __future__ import annotations

from studio import SIGNED_IN, Route
from studio_activity import handlers
from studio_activity.models import ActionList, ActivityPublic

FEED = "/api/workbench/projects/{project_id}/activities"
ACTIONS = "/api/workbench/activity-actions"

ROUTES = [
    Route("GET", FEED, handlers.list_activities, "project:read", returns=ActivityPublic),
    Route("GET", ACTIONS, handlers.list_activity_actions, SIGNED_IN, returns=ActionList),
]
