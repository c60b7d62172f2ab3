"""Handlers: parse, one service call, reply."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson
from aiohttp import web

from studio import BadRequestError, Doc, InvalidInputError, Page, Request
from studio_stories.cast import CastService, Kind
from studio_stories.editing import EditingService
from studio_stories.jobs import BreakdownService
from studio_stories.models import (
    BreakdownQuery,
    BreakdownStart,
    BreakdownStarted,
    CharacterCreate,
    CharacterUpdate,
    EntityCreate,
    EntityUpdate,
    ExportQuery,
    FileQuery,
    Reorder,
    SceneCreate,
    SceneUpdate,
    ShotCreate,
    ShotUpdate,
    StoryCreate,
    StoryImport,
    StoryQuery,
    StoryTree,
    StoryUpdate,
    UploadQuery,
)
from studio_stories.service import StoryService, with_status

if TYPE_CHECKING:
    from studio_stories.models import Versioned

Handler = Callable[..., Awaitable[Any]]
UPLOAD_DEADLINE_S = 60.0
_MIME = {"fountain": "text/plain", "fdx": "application/xml"}
_NAMES = {"fountain": "story.fountain", "fdx": "story.fdx", "text": "story.txt", None: "story.txt"}


# ---------------------------------------------------------------- loaders


async def load_story(request: Request) -> Doc:
    """Load the story of the path."""
    return await request.service(StoryService).story(request.path["story_id"])


def load_part(name: str, parameter: str) -> Callable[[Request], Awaitable[Doc]]:
    """Return a loader of one document of the collection `name`."""

    async def load(request: Request) -> Doc:
        return await request.service(StoryService).part(name, request.path[parameter])

    return load


def rev_of(request: Request, body: Versioned) -> int | None:
    """Return the revision the client edited: If-Match, or `rev` of the body; raises when the two differ."""
    header = request.raw.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return body.rev
    found = re.fullmatch(r'(?:W/)?"?(\d{1,9})"?', header.strip())
    if not found:
        raise BadRequestError('If-Match takes the revision, such as "3".')
    if body.rev is not None and body.rev != int(found[1]):
        raise InvalidInputError("If-Match and rev name different revisions; send one of them.")
    return int(found[1])


async def _file(request: Request) -> bytes:
    """Read an uploaded file; the route's limit cuts it off before it is all in memory."""
    try:
        async with asyncio.timeout(UPLOAD_DEADLINE_S):
            return await request.raw.read()
    except TimeoutError:
        raise BadRequestError(
            "The file did not arrive in time; send it again.", code="upload_timeout"
        ) from None


# ---------------------------------------------------------------- stories


async def create_story(request: Request, body: StoryCreate) -> Doc:
    """Create a story from text."""
    return await request.service(StoryService).create_story(
        request.actor,
        body.project_id,
        body.text.encode("utf-8", "replace"),
        _NAMES[body.format],
        title=body.title,
        story_format=body.format,
        once=request.once,
    )


async def upload_story(request: Request, query: UploadQuery) -> Doc:
    """Create a story from an uploaded file: Fountain, FDX or plain text."""
    data = await _file(request)
    service = request.service(StoryService)
    return await service.create_story(
        request.actor, query.project_id, data, query.filename, title=query.title, once=request.once
    )


async def list_stories(request: Request, query: StoryQuery) -> Page:
    """List a project's stories, newest first."""
    service = request.service(StoryService)
    return await service.list_stories(query.project_id, cursor=query.cursor, limit=query.limit)


async def get_story(request: Request, target: Doc) -> Doc:  # noqa: ARG001 - every handler takes the request
    """Get a story."""
    return target


async def update_story(request: Request, target: Doc, body: StoryUpdate) -> Doc:
    """Edit a story's title, logline, language or status."""
    service = request.service(StoryService)
    return await service.update_story(request.actor, target, body, rev_of(request, body))


async def delete_story(request: Request, target: Doc) -> None:
    """Delete a story."""
    await request.service(StoryService).delete_story(request.actor, target)


async def import_story(request: Request, target: Doc, body: StoryImport) -> Doc:
    """Replace a story's script by new text, as its next version."""
    data = body.text.encode("utf-8", "replace")
    service = request.service(StoryService)
    return await service.import_story(request.actor, target, data, _NAMES[body.format], body.format)


async def upload_import(request: Request, target: Doc, query: FileQuery) -> Doc:
    """Replace a story's script by an uploaded file, as its next version."""
    data = await _file(request)
    return await request.service(StoryService).import_story(request.actor, target, data, query.filename)


async def list_versions(request: Request, target: Doc) -> list[Doc]:
    """List a story's versions, newest first."""
    return await request.service(StoryService).list_versions(target)


async def restore_version(request: Request, target: Doc, version: str) -> Doc:
    """Bring an older version back as the newest one."""
    if not re.fullmatch(r"[0-9]{1,9}", version):
        raise InvalidInputError("A version is a number, such as 3.")
    return await request.service(StoryService).restore_version(request.actor, target, int(version))


async def get_tree(request: Request, target: Doc) -> web.Response:
    """Get a story with its scenes, shots, characters, locations and props; 304 when nothing changed."""
    tree = await request.service(StoryService).tree(target)
    data = orjson.dumps(StoryTree.model_validate(_bare(tree)).model_dump(mode="json", by_alias=True))
    etag = hashlib.sha256(data).hexdigest()[:32]
    headers = {"ETag": f'"{etag}"', "Cache-Control": "private, no-cache"}
    if any(tag.value in {etag, "*"} for tag in request.raw.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=data, content_type="application/json", headers=headers)


def _bare(tree: Doc) -> Doc:
    """Return the tree with only what its public models know."""
    models: dict[str, Any] = {name: field.annotation for name, field in StoryTree.model_fields.items()}
    out: Doc = {"story": _known(models.pop("story"), tree["story"])}
    for name, kind in models.items():
        out[name] = [_known(kind.__args__[0], doc) for doc in tree[name]]
    return out


def _known(model: Any, doc: Doc) -> Doc:
    return {
        name: doc["_id" if name == "id" else name]
        for name, field in model.model_fields.items()
        if name in doc or field.is_required()
    }


async def export_story(request: Request, target: Doc, query: ExportQuery) -> web.Response:
    """Export a story as Fountain, Final Draft or JSON."""
    service = request.service(StoryService)
    if query.format == "json":
        return await get_tree(request, target)
    text = str(await service.export(target, query.format))
    name = quote(f"{target['title']}.{query.format}", safe="")
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(text=text, content_type=_MIME[query.format], charset="utf-8", headers=headers)


async def start_breakdown(
    request: Request, target: Doc, query: BreakdownQuery, body: BreakdownStart | None
) -> web.Response:
    """Break a story down into shots (202 with the job), or say what that would cost (`dryRun=true`)."""
    wanted = body or BreakdownStart()
    service = request.service(BreakdownService)
    if query.dry_run:
        found = await service.estimate(target, wanted.provider, wanted.model)
    else:
        found = await service.start(request.actor, target, wanted.provider, wanted.model)
    answer = BreakdownStarted.model_validate(found).model_dump(mode="json", by_alias=True)
    return web.json_response(answer, status=200 if query.dry_run else 202)


# ---------------------------------------------------------------- scenes and shots


async def list_scenes(request: Request, target: Doc) -> list[Doc]:
    """List a story's scenes in film order."""
    return await request.service(StoryService).scenes(target["_id"])


async def create_scene(request: Request, target: Doc, body: SceneCreate) -> Doc:
    """Add a scene."""
    return await request.service(EditingService).create_scene(request.actor, target, body, request.once)


async def get_part(request: Request, target: Doc) -> Doc:  # noqa: ARG001 - every handler takes the request
    """Get one document of a story."""
    return target


async def update_scene(request: Request, target: Doc, body: SceneUpdate) -> Doc:
    """Edit a scene."""
    service = request.service(EditingService)
    return await service.update_scene(request.actor, target, body, rev_of(request, body))


async def delete_scene(request: Request, target: Doc) -> None:
    """Delete a scene with its shots."""
    await request.service(EditingService).delete_scene(request.actor, target)


async def reorder_scene(request: Request, target: Doc, body: Reorder) -> Doc:
    """Move a scene."""
    return await request.service(EditingService).reorder_scene(request.actor, target, body)


async def get_shot(request: Request, target: Doc) -> Doc:  # noqa: ARG001 - every handler takes the request
    """Get a shot with its status."""
    return with_status(target)


async def create_shot(request: Request, target: Doc, body: ShotCreate) -> Doc:
    """Add a shot to a scene."""
    return await request.service(EditingService).create_shot(request.actor, target, body, request.once)


async def update_shot(request: Request, target: Doc, body: ShotUpdate) -> Doc:
    """Edit a shot; the answer's `stale` says which takes that left behind."""
    service = request.service(EditingService)
    return await service.update_shot(request.actor, target, body, rev_of(request, body))


async def delete_shot(request: Request, target: Doc) -> None:
    """Delete a shot."""
    await request.service(EditingService).delete_shot(request.actor, target)


async def reorder_shot(request: Request, target: Doc, body: Reorder) -> Doc:
    """Move a shot, also to another scene."""
    return await request.service(EditingService).reorder_shot(request.actor, target, body)


# ---------------------------------------------------------------- characters, locations, props


def list_entities(kind: Kind) -> Callable[..., Awaitable[list[Doc]]]:
    """Return the handler that lists entities of a kind."""

    async def list_entities(request: Request, target: Doc) -> list[Doc]:
        """List them by name."""
        return await request.service(CastService).list_entities(kind, target)

    return list_entities


def delete_entity(kind: Kind) -> Callable[..., Awaitable[None]]:
    """Return the handler that deletes an entity of a kind."""

    async def delete_entity(request: Request, target: Doc) -> None:
        """Delete one and take it out of its shots."""
        await request.service(CastService).delete_entity(kind, request.actor, target)

    return delete_entity


async def create_character(request: Request, target: Doc, body: CharacterCreate) -> Doc:
    """Add a character; it gets a colour that nobody has."""
    service = request.service(CastService)
    return await service.create_entity("characters", request.actor, target, body, request.once)


async def update_character(request: Request, target: Doc, body: CharacterUpdate) -> Doc:
    """Edit a character."""
    service = request.service(CastService)
    return await service.update_entity("characters", request.actor, target, body, rev_of(request, body))


async def create_location(request: Request, target: Doc, body: EntityCreate) -> Doc:
    """Add a location."""
    service = request.service(CastService)
    return await service.create_entity("locations", request.actor, target, body, request.once)


async def update_location(request: Request, target: Doc, body: EntityUpdate) -> Doc:
    """Edit a location."""
    service = request.service(CastService)
    return await service.update_entity("locations", request.actor, target, body, rev_of(request, body))


async def create_prop(request: Request, target: Doc, body: EntityCreate) -> Doc:
    """Add a prop."""
    service = request.service(CastService)
    return await service.create_entity("props", request.actor, target, body, request.once)


async def update_prop(request: Request, target: Doc, body: EntityUpdate) -> Doc:
    """Edit a prop."""
    service = request.service(CastService)
    return await service.update_entity("props", request.actor, target, body, rev_of(request, body))
