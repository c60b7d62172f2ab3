"""The table of routes: method, path, handler, permission."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from studio import Route, project_in_body, project_in_query
from studio_stories import handlers as h
from studio_stories.models import (
    BreakdownStarted,
    CharacterPublic,
    EntityPublic,
    ScenePublic,
    ShotPublic,
    StoryPublic,
    StoryTree,
    VersionPublic,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

    from studio_stories.cast import Kind

READ, WRITE = "story:read", "story:write"
FILES = ("text/plain", "application/octet-stream", "application/xml", "text/xml")
TEXT_LIMIT = 5_000_000
"""A script has 2 MB at most; in JSON it may take more."""
ROOT = "/api/stories"
STORY = f"{ROOT}/{{story_id}}"


def routes(file_limit: int) -> list[Route]:
    """Return all routes; `file_limit` is the largest uploaded file in bytes."""
    return [*_stories(file_limit), *_scenes(), *_shots(), *_entities()]


def _stories(file_limit: int) -> Iterator[Route]:
    one, load, new = StoryPublic, h.load_story, project_in_body
    upload = partial(Route, "POST", media=FILES, body_limit=file_limit, deadline_s=90.0, returns=one)
    yield Route("POST", ROOT, h.create_story, WRITE, returns=one, status=201, load=new, body_limit=TEXT_LIMIT)
    yield upload(f"{ROOT}/upload", h.upload_story, WRITE, status=201, load=project_in_query)
    yield Route("GET", ROOT, h.list_stories, READ, returns=one, many=True, load=project_in_query)
    yield Route("GET", STORY, h.get_story, READ, returns=one, load=load)
    yield Route("PATCH", STORY, h.update_story, WRITE, returns=one, load=load)
    yield Route("DELETE", STORY, h.delete_story, WRITE, status=204, load=load)
    yield Route(
        "POST", f"{STORY}/import", h.import_story, WRITE, returns=one, load=load, body_limit=TEXT_LIMIT
    )
    yield upload(f"{STORY}/upload", h.upload_import, WRITE, load=load)
    yield Route(
        "GET", f"{STORY}/versions", h.list_versions, READ, returns=VersionPublic, many=True, load=load
    )
    restore = f"{STORY}/versions/{{version}}/restore"
    yield Route("POST", restore, h.restore_version, WRITE, returns=one, load=load, also=(422,))
    yield Route("GET", f"{STORY}/tree", h.get_tree, READ, returns=StoryTree, load=load, also=(304,))
    yield Route("GET", f"{STORY}/export", h.export_story, READ, load=load, produces="*/*", also=(304,))
    start = f"{STORY}/breakdown"
    started = partial(Route, "POST", status=202, also=(200, 402), returns=BreakdownStarted)
    yield started(start, h.start_breakdown, WRITE, load=load)


def _scenes() -> Iterator[Route]:
    path, load, one = f"{ROOT}/scenes/{{scene_id}}", h.load_part("scenes", "scene_id"), ScenePublic
    yield Route("GET", f"{STORY}/scenes", h.list_scenes, READ, returns=one, many=True, load=h.load_story)
    yield Route("POST", f"{STORY}/scenes", h.create_scene, WRITE, returns=one, status=201, load=h.load_story)
    yield Route("GET", path, h.get_part, READ, returns=one, load=load)
    yield Route("PATCH", path, h.update_scene, WRITE, returns=one, load=load)
    yield Route("DELETE", path, h.delete_scene, WRITE, status=204, load=load)
    yield Route("POST", f"{path}/reorder", h.reorder_scene, WRITE, returns=one, load=load)
    yield Route("POST", f"{path}/shots", h.create_shot, WRITE, returns=ShotPublic, status=201, load=load)


def _shots() -> Iterator[Route]:
    path, load, one = f"{ROOT}/shots/{{shot_id}}", h.load_part("shots", "shot_id"), ShotPublic
    yield Route("GET", path, h.get_shot, READ, returns=one, load=load)
    yield Route("PATCH", path, h.update_shot, WRITE, returns=one, load=load)
    yield Route("DELETE", path, h.delete_shot, WRITE, status=204, load=load)
    yield Route("POST", f"{path}/reorder", h.reorder_shot, WRITE, returns=one, load=load)


def _entities() -> Iterator[Route]:
    kinds: dict[Kind, tuple[type[BaseModel], h.Handler, h.Handler]] = {
        "characters": (CharacterPublic, h.create_character, h.update_character),
        "locations": (EntityPublic, h.create_location, h.update_location),
        "props": (EntityPublic, h.create_prop, h.update_prop),
    }
    for kind, (one, create, update) in kinds.items():
        parameter = f"{kind[:-1]}_id"
        path, load = f"{ROOT}/{kind}/{{{parameter}}}", h.load_part(kind, parameter)
        under = f"{STORY}/{kind}"
        yield Route("GET", under, h.list_entities(kind), READ, returns=one, many=True, load=h.load_story)
        yield Route("POST", under, create, WRITE, returns=one, status=201, load=h.load_story)
        yield Route("PATCH", path, update, WRITE, returns=one, load=load)
        yield Route("DELETE", path, h.delete_entity(kind), WRITE, status=204, load=load)
