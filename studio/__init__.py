"""The public API of Studio: all that a plugin may import, besides `studio.testing` in its tests."""

from __future__ import annotations

# One table of names reads better packed.
# fmt: off
from studio.activity import ActivityAction
from studio.auth import PUBLIC, SIGNED_IN, SYSTEM, AccessQuery, Actor, Credentials, Decision, Permission
from studio.boundary import contained
from studio.database import Collection, Database, Index, Migration, Repository
from studio.errors import (
    BadRequestError, BudgetExceededError, ConfigError, ConflictError, DatabaseUnavailableError,
    DeadlineExceededError, ForbiddenError, IdempotencyError, InvalidInputError, NotFoundError,
    OutcomeUnknownError, PayloadTooLargeError, PluginError, PluginUnavailableError, ProviderError,
    ProviderRejectedError, ProviderUnavailableError, RateLimitedError, StorageFullError, StudioError,
    UnauthenticatedError, UnavailableError, UnsupportedMediaTypeError,
)
from studio.health import HealthCheck
from studio.hooks import StudioHooks, hookimpl
from studio.http_client import HttpAnswer
from studio.jobs.contract import (
    ACTIVE, TERMINAL, CostDecision, CostHold, CostSettlement, JobBackend, JobKind, JobOrder, JobState,
)
from studio.model import Doc, Model, new_id, now_ms
from studio.plugins.context import PluginContext
from studio.plugins.manifest import API_VERSION, Manifest
from studio.providers.contract import (
    AssetScorer, Capability, ChatModel, Estimate, Generation, GenerationError, Generator, ImageEditor,
    ImageGenerator, MediaFile, ModelSpec, MusicGenerator, PipelineRunner, ProviderModel, ProviderSpec,
    VideoGenerator, VoiceGenerator, WordTiming,
)
from studio.providers.requests import (
    CharacterBrief, ChatDelta, ChatMessage, ChatRequest, ChatTool, GenerationRequest, ImageEditRequest,
    ImageRequest, MusicRequest, PipelineRequest, ScoreRequest, ShotBrief, ToolCall, VideoRequest, VoiceInfo,
    VoiceRequest,
)
from studio.providers.services import (
    FileStorage, Issue, IssueTracker, Mail, Mailer, StoredBlob, WebhookCall, WebhookNews, WebhookParser,
)
from studio.providers.vendor import (
    Fault, VendorTable, data_uri, json_object, price_of, verify_standard_webhook,
)
from studio.realtime import Event, Message, RealtimeTransport
from studio.telemetry import redact
from studio.web.deps import Middleware, RunOnce, current_request_id
from studio.web.paging import PageQuery, expect_rev
from studio.web.plan import RoutePlan, plan_of
from studio.web.problem import problem
from studio.web.route import Page, Request, Route, project_in_body, project_in_query

__all__ = [
    "ACTIVE", "API_VERSION", "PUBLIC", "SIGNED_IN", "SYSTEM", "TERMINAL", "AccessQuery", "ActivityAction", "Actor",
    "AssetScorer", "BadRequestError", "BudgetExceededError", "Capability", "CharacterBrief",
    "ChatDelta", "ChatMessage", "ChatModel", "ChatRequest", "ChatTool", "Collection", "ConfigError",
    "ConflictError", "CostDecision", "CostHold", "CostSettlement", "Credentials", "Database",
    "DatabaseUnavailableError", "DeadlineExceededError", "Decision", "Doc", "Estimate", "Event",
    "Fault", "FileStorage", "ForbiddenError", "Generation", "GenerationError", "GenerationRequest",
    "Generator", "HealthCheck", "HttpAnswer", "IdempotencyError", "ImageEditRequest", "ImageEditor", "ImageGenerator",
    "ImageRequest", "Index", "InvalidInputError", "Issue", "IssueTracker", "JobBackend", "JobKind",
    "JobOrder", "JobState", "Mail", "Mailer", "Manifest", "MediaFile", "Message", "Middleware", "Migration",
    "Model", "ModelSpec", "MusicGenerator", "MusicRequest", "NotFoundError", "OutcomeUnknownError",
    "Page", "PageQuery", "PayloadTooLargeError", "Permission", "PipelineRequest", "PipelineRunner",
    "PluginContext", "PluginError", "PluginUnavailableError", "ProviderError", "ProviderModel",
    "ProviderRejectedError", "ProviderSpec", "ProviderUnavailableError", "RateLimitedError",
    "RealtimeTransport", "Repository", "Request", "Route", "RoutePlan", "RunOnce", "ScoreRequest", "ShotBrief",
    "StorageFullError", "StoredBlob", "StudioError", "StudioHooks", "ToolCall", "UnauthenticatedError",
    "UnavailableError", "UnsupportedMediaTypeError", "VendorTable", "VideoGenerator", "VideoRequest",
    "VoiceGenerator", "VoiceInfo", "VoiceRequest", "WebhookCall", "WebhookNews", "WebhookParser",
    "WordTiming", "contained", "current_request_id", "data_uri", "expect_rev", "hookimpl", "json_object", "new_id",
    "now_ms", "plan_of", "price_of", "problem", "project_in_body", "project_in_query", "redact",
    "verify_standard_webhook",
]
# fmt: on
