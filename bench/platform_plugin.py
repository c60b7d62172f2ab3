"""The bench routes as a stranger's plugin: found by an entry point, wired through hooks, nothing private.

Documents are kept as a driver hands them out: snake_case fields and `_id`, in plain dictionaries. They
belong to one project that `platform_server.py` makes through the API, so that each authenticated request is
one session, one role and one decision of the plugin that owns `authorize`.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import work
from pydantic import Field

from studio import (
    PUBLIC,
    Collection,
    Doc,
    Manifest,
    Model,
    Page,
    Permission,
    PluginContext,
    Request,
    Route,
    StudioHooks,
    hookimpl,
    new_id,
    now_ms,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VIEW, WRITE = "bench:view", "bench:write"
"""No `:read`, which every role holds: the outsider is a viewer of the project, and refused."""
HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")

Name = Annotated[str, Field(min_length=1, max_length=120)]
Text = Annotated[str, Field(max_length=4000)]


class ScenePublic(Model):
    number: int
    heading: str
    summary: str
    duration_ms: int
    characters: list[str]


class HeaderPublic(Model):
    id: str
    owner_id: str
    project_id: str
    title: str
    genre: str
    status: str
    language: str
    version: int
    created_at_ms: int
    updated_at_ms: int


class DocumentPublic(HeaderPublic):
    tags: list[str]
    scenes: list[ScenePublic]
    synopsis: str


class ItemPublic(HeaderPublic):
    scene_count: int
    logline: str


class Character(Model):
    name: Name
    role: Literal["lead", "support", "extra"]


class DocumentCreate(Model):
    title: Name
    logline: Text
    genre: Name
    status: Literal["draft", "final"]
    language: Name
    project_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    aspect_ratio: Literal["16:9", "9:16", "1:1", "2.39:1"]
    target_duration_ms: Annotated[int, Field(ge=1000, le=7_200_000)]
    is_public: bool
    tags: Annotated[list[Name], Field(max_length=20)]
    characters: Annotated[list[Character], Field(max_length=50)]
    synopsis: Text


class CharacterPublic(Model):
    name: str
    role: str


class CreatedPublic(Model):
    id: str
    owner_id: str
    created_at_ms: int
    title: str
    logline: str
    genre: str
    status: str
    language: str
    project_id: str
    aspect_ratio: str
    target_duration_ms: int
    is_public: bool
    tags: list[str]
    characters: list[CharacterPublic]
    synopsis: str


def as_stored(value: Any) -> Any:
    """The work's JSON as a stored document: snake_case, `_id`."""
    if isinstance(value, list):
        return [as_stored(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        "_id" if key == "id" else HUMP.sub("_", key).lower(): as_stored(item) for key, item in value.items()
    }


class Store:
    """The warm in-memory store, as `work.Store`, of stored documents. `project_id` is set before the load."""

    def __init__(self) -> None:
        store = work.Store()
        self.documents: dict[str, Doc] = {key: as_stored(value) for key, value in store.documents.items()}
        self.items: list[Doc] = as_stored(store.items)
        self.posted: dict[str, Doc] = {}
        self.project_id = ""

    def add(self, body: Doc, owner: str) -> Doc:
        stored = {"_id": new_id(), "owner_id": owner, "created_at_ms": now_ms()} | body
        self.posted[stored["_id"]] = stored
        if len(self.posted) > work.KEPT_POSTS:
            del self.posted[next(iter(self.posted))]
        return stored


@dataclass(slots=True)
class Found:
    """What a `load` found, and the project that says who may."""

    project_id: str
    document: Doc | None = None


async def load_project(request: Request) -> Found:
    return Found(request.service(Store).project_id)


async def load_document(request: Request) -> Found | None:
    store = request.service(Store)
    document = store.documents.get(request.path["document_id"])
    return Found(store.project_id, document) if document else None


async def load_stored(request: Request) -> Found | None:
    document = await request.ctx.database["bench_documents"].get(request.path["document_id"])
    return Found(request.service(Store).project_id, document) if document else None


async def get_document(_request: Request, target: Found) -> Doc | None:
    """Return a document."""
    return target.document


async def list_documents(request: Request) -> Page:
    """List the documents."""
    return Page(request.service(Store).items)


async def create_document(request: Request, body: DocumentCreate) -> Doc:
    """Create a document."""
    return request.service(Store).add(body.model_dump(), request.actor.user_id)


async def create_open_document(request: Request, body: DocumentCreate) -> Doc:
    """Create a document of nobody."""
    return request.service(Store).add(body.model_dump(), work.ANYBODY)


ONE, ALL, FREE = "/bench/documents/{document_id}", "/bench/documents", f"{work.OPEN}/documents"
ROUTES = [
    Route("GET", ONE, get_document, VIEW, returns=DocumentPublic, load=load_document),
    Route("GET", ALL, list_documents, VIEW, returns=ItemPublic, load=load_project),
    Route("POST", ALL, create_document, WRITE, returns=CreatedPublic, status=201, load=load_project),
    Route("GET", FREE, list_documents, PUBLIC, returns=ItemPublic),
    Route("POST", FREE, create_open_document, PUBLIC, returns=CreatedPublic, status=201),
    Route("GET", "/bench/stored/{document_id}", get_document, VIEW, returns=DocumentPublic, load=load_stored),
]


class Plugin(StudioHooks):
    """The bench routes."""

    manifest = Manifest(name="bench")

    @hookimpl
    def register_routes(self, ctx: PluginContext) -> list[Route]:
        return ROUTES

    @hookimpl
    def register_permissions(self, ctx: PluginContext) -> list[Permission]:
        return [Permission(VIEW, "Read bench documents"), Permission(WRITE, "Write bench documents")]

    @hookimpl
    def register_collections(self, ctx: PluginContext) -> list[Collection]:
        return [Collection("bench_documents")]

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        store = Store()
        ctx.provide(Store, store)
        await ctx.database["bench_documents"].insert_many(list(store.documents.values()))
        yield
