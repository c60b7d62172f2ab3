"""Typed routes: pydantic in, public models out, a permission on each, OpenAPI from the same declarations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from studio.web.deps import RunOnce, current_request_id
from studio.web.paging import PageQuery, expect_rev
from studio.web.problem import problem
from studio.web.route import Page, Request, Route, project_in_body, project_in_query, project_of

Middleware = Callable[
    [web.Request, Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[web.StreamResponse]
]
"""Wraps the routes of the plugin that registered it."""

__all__ = [
    "Middleware",
    "Page",
    "PageQuery",
    "Request",
    "Route",
    "RunOnce",
    "current_request_id",
    "expect_rev",
    "problem",
    "project_in_body",
    "project_in_query",
    "project_of",
]
