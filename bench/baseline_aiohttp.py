"""Bare aiohttp: the yardstick. Written first; do not tune, so that figures stay comparable over the years.

Stdlib event loop, stdlib json, no validation, `jwt.decode` on each authenticated request, permission by
dictionary look-up, no access log, aiohttp's parser as installed. One process: `python baseline_aiohttp.py
--port N`.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import jwt
import work
from aiohttp import web

if TYPE_CHECKING:
    from jwt.types import Options

STORE = web.AppKey("STORE", work.Store)
OPTIONS: Options = {"require": list(work.REQUIRED_CLAIMS)}


def identify(request: web.Request, permission: str) -> str:
    """The user of a request. Raises 401 for no or a bad token, 403 for a missing permission."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer":
        raise web.HTTPUnauthorized
    try:
        claims = jwt.decode(token, work.SECRET, [work.ALGORITHM], options=OPTIONS, issuer=work.ISSUER)
    except jwt.InvalidTokenError as error:
        raise web.HTTPUnauthorized from error
    user: str = claims["sub"]
    if permission not in work.PERMISSIONS[work.ROLES[user]]:
        raise web.HTTPForbidden
    return user


async def health(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def read_document(request: web.Request) -> web.Response:
    identify(request, work.READ)
    document = request.app[STORE].get(request.match_info["document_id"])
    if document is None:
        raise web.HTTPNotFound
    return web.json_response(document)


async def list_documents(request: web.Request) -> web.Response:
    identify(request, work.READ)
    return web.json_response(request.app[STORE].page())


async def list_open(request: web.Request) -> web.Response:
    return web.json_response(request.app[STORE].page())


async def create_open(request: web.Request) -> web.Response:
    return web.json_response(request.app[STORE].add(await request.json(), work.ANYBODY), status=201)


async def create_document(request: web.Request) -> web.Response:
    user = identify(request, work.WRITE)
    return web.json_response(request.app[STORE].add(await request.json(), user), status=201)


def build() -> web.Application:
    app = web.Application()
    app[STORE] = work.Store()
    app.router.add_get("/healthz", health)
    app.router.add_get("/bench/documents/{document_id}", read_document)
    app.router.add_get("/bench/documents", list_documents)
    app.router.add_post("/bench/documents", create_document)
    app.router.add_get("/bench/open/documents", list_open)
    app.router.add_post("/bench/open/documents", create_open)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    web.run_app(build(), host="127.0.0.1", port=parser.parse_args().port, access_log=None, print=None)
