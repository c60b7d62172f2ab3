"""Handlers of the console's pages and files."""

from pathlib import Path

import aiohttp_jinja2
from aiohttp import web

from studio import Model, Request
from studio_console.outbox import list_mails, read_eml
from studio_console.static_files import StaticFiles

HERE = Path(__file__).parent
SAMPLE = HERE / "samples" / "the-last-reel.fountain"
NOT_KEPT = {"Cache-Control": "no-store"}


class StaticQuery(Model):
    """`v` is the fingerprint in the address that the page names."""

    v: str | None = None


async def open_console(request: Request) -> web.Response:
    """Return the console's page."""
    files, config = request.service(StaticFiles), request.ctx.config
    context = {
        "url": files.url,
        "development": config.environment == "development",
        "environment": config.environment,
    }
    return _page("console/index.html", request, context)


async def open_outbox(request: Request) -> web.Response:
    """Return the mails of the local outbox, in development only."""
    context = {"url": request.service(StaticFiles).url, "mails": await list_mails(request.ctx)}
    return _page("console/outbox.html", request, context)


async def get_outbox_mail(request: Request, mail_id: str) -> web.Response:
    """Return one mail of the outbox as an .eml file, in development only."""
    headers = {"Content-Disposition": f'attachment; filename="{mail_id}.eml"', **NOT_KEPT}
    return web.Response(
        body=await read_eml(request.ctx, mail_id), content_type="message/rfc822", headers=headers
    )


async def get_sample(request: Request) -> web.Response:  # noqa: ARG001 - every handler takes the request
    """Return the sample story as Fountain."""
    return web.Response(
        body=SAMPLE.read_bytes(), content_type="text/plain", charset="utf-8", headers=NOT_KEPT
    )


async def get_static(request: Request, query: StaticQuery, file_name: str) -> web.Response:
    """Return one of the page's own files."""
    return request.service(StaticFiles).file(file_name).answer(request.raw, query.v)


async def go_to_console(request: Request) -> web.Response:  # noqa: ARG001 - every handler takes the request
    """Send whoever opens the server's address to the console."""
    return web.Response(status=302, headers={"Location": "/console", **NOT_KEPT})


def _page(template: str, request: Request, context: dict[str, object]) -> web.Response:
    answer = aiohttp_jinja2.render_template(template, request.raw, context)
    answer.headers.update(NOT_KEPT)
    return answer
