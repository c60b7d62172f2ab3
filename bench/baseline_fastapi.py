"""FastAPI on uvicorn, written as its own documentation writes it: request and response models, dependencies.

Everything is `async def` (no thread pool), the access log is off, and uvicorn takes the fastest loop and
parser that are installed (uvloop and httptools with `uvicorn[standard]`; without httptools it is half as
fast). One process: `python baseline_fastapi.py --port N`.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Annotated, Literal

import jwt
import uvicorn
import work
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jwt.types import Options

app = FastAPI()
store = work.Store()
bearer = HTTPBearer()
OPTIONS: Options = {"require": list(work.REQUIRED_CLAIMS)}

Name = Annotated[str, Field(min_length=1, max_length=120)]
Text = Annotated[str, Field(max_length=4000)]


class Wire(BaseModel):
    """What goes out is typed only; what comes in is constrained too (`DocumentCreate`)."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Health(Wire):
    status: Literal["ok"]


class Scene(Wire):
    number: int
    heading: str
    summary: str
    duration_ms: int
    characters: list[str]


class Header(Wire):
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


class Document(Header):
    tags: list[str]
    scenes: list[Scene]
    synopsis: str


class Item(Header):
    scene_count: int
    logline: str


class Page(Wire):
    items: list[Item]
    next_cursor: str | None


class Character(Wire):
    model_config = ConfigDict(extra="forbid")
    name: Name
    role: Literal["lead", "support", "extra"]


class DocumentCreate(Wire):
    model_config = ConfigDict(extra="forbid")
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


class CharacterPublic(Wire):
    name: str
    role: str


class DocumentCreated(Wire):
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


async def current_user(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> str:
    try:
        claims = jwt.decode(
            credentials.credentials, work.SECRET, [work.ALGORITHM], options=OPTIONS, issuer=work.ISSUER
        )
    except jwt.InvalidTokenError as error:
        raise HTTPException(401, "Invalid token") from error
    user: str = claims["sub"]
    return user


def require(permission: str) -> Callable[[str], Awaitable[str]]:
    async def check(user: Annotated[str, Depends(current_user)]) -> str:
        if permission not in work.PERMISSIONS[work.ROLES[user]]:
            raise HTTPException(403, "Permission missing")
        return user

    return check


Reader = Annotated[str, Depends(require(work.READ))]
Writer = Annotated[str, Depends(require(work.WRITE))]


@app.get("/healthz")
async def health() -> Health:
    return Health(status="ok")


@app.get("/bench/documents/{document_id}", response_model=Document)
async def read_document(document_id: str, _user: Reader) -> work.Document:
    document = store.get(document_id)
    if document is None:
        raise HTTPException(404, "Document not found")
    return document


@app.get("/bench/documents", response_model=Page)
async def list_documents(_user: Reader) -> work.Document:
    return store.page()


@app.post("/bench/documents", status_code=201, response_model=DocumentCreated)
async def create_document(document: DocumentCreate, user: Writer) -> work.Document:
    return store.add(document.model_dump(by_alias=True), user)


@app.get("/bench/open/documents", response_model=Page)
async def list_open() -> work.Document:
    return store.page()


@app.post("/bench/open/documents", status_code=201, response_model=DocumentCreated)
async def create_open(document: DocumentCreate) -> work.Document:
    return store.add(document.model_dump(by_alias=True), work.ANYBODY)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port, access_log=False, log_level="warning")
