"""The Socket.IO server: who is connected, and a way to their queues that encodes once and never waits."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import engineio.packet  # type: ignore[import-untyped]  # it publishes no types
import orjson
import socketio  # type: ignore[import-untyped]  # it publishes no types
from engineio.packet import Packet
from socketio.exceptions import ConnectionRefusedError as RefusedError  # type: ignore[import-untyped]  # as above

from studio import (
    BadRequestError,
    Credentials,
    ForbiddenError,
    NotFoundError,
    StudioError,
    UnauthenticatedError,
    UnavailableError,
)
from studio_socketio.engine import quicken, quicken_client
from studio_socketio.replay import Replay

if TYPE_CHECKING:
    from aiohttp import web

    from studio import Actor, Message, PluginContext
    from studio_socketio.settings import SocketioSettings

MAX_QUEUED, MAX_BYTES, MAX_FRAME, MAX_ROOMS = 100, 1_000_000, 1_000_000, 50
GOODBYE_S, CONNECT_S = 0.5, 10.0
CONNECT = 0
MALFORMED = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)
"""What the libraries raise on packets that they cannot read."""
logging.getLogger("studio.engineio").addFilter(
    lambda record: not (record.exc_info and isinstance(record.exc_info[1], MALFORMED))
)
"""Else each unreadable poll writes a traceback: anybody could fill the logs."""
AGAIN_S = 1.0
"""When a new connection is asked for its rights once more: no answer from before a revocation is believed so long."""
RESERVED = {"connect", "disconnect", "connect_error"}


@dataclass(eq=False, slots=True)
class Client:
    """One connection that has shown a good token."""

    sid: str
    eio_sid: str
    actor: Actor
    pid: str
    rooms: set[str]
    offset: int
    """The newest offset when the connection began."""
    replay: list[tuple[Packet, int]] = field(default_factory=list)
    sizes: deque[int] = field(default_factory=deque)
    """Bytes of each packet that may still wait in the queue."""
    queued: int = 0


class _Server(socketio.AsyncServer):  # type: ignore[misc]  # the library has no types
    """Adds the private session id to CONNECT, and lets the client in right behind it in the queue."""

    transport: SocketTransport

    async def _send_packet(self, eio_sid: str, pkt: Any) -> None:
        client = None
        if pkt.packet_type == CONNECT and isinstance(pkt.data, dict):
            client = self.transport.arriving.pop(pkt.data.get("sid"), None)
            if client:
                pkt.data["pid"] = client.pid
        await super()._send_packet(eio_sid, pkt)
        if client:
            self.transport.admit(client)

    async def _handle_event(self, eio_sid: str, namespace: str, ack: Any, data: Any) -> None:
        named = isinstance(data, list) and data and isinstance(data[0], str)
        if named and data[0] not in RESERVED:  # else a client could call our own lifecycle handlers
            await super()._handle_event(eio_sid, namespace, ack, data)

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> Any:
        quicken_client(self.eio, eio_sid)
        asyncio.get_running_loop().call_later(CONNECT_S, self.transport.expect, eio_sid)
        return await super()._handle_eio_connect(eio_sid, environ)

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        if not self.transport.may_speak(eio_sid):
            return
        try:
            await super()._handle_eio_message(eio_sid, data)
        except MALFORMED as error:
            self.transport.malformed(eio_sid, error)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: Any) -> None:
        await super()._handle_eio_disconnect(eio_sid, reason)
        self.transport.forget(eio_sid)
        if socket := self.eio.sockets.get(eio_sid):  # the library lets a waiting poll hang for 45 s
            asyncio.get_running_loop().call_soon(socket.queue.put_nowait, None)


def _quiet(name: str) -> logging.Logger:
    """Return a logger for warnings only: at `info` both libraries write every packet, tokens and scripts included."""
    logger = logging.getLogger(name)
    logger.setLevel(logging.WARNING)
    return logger


class SocketTransport:
    """The realtime transport `socketio`."""

    name = "socketio"

    def __init__(self, ctx: PluginContext, settings: SocketioSettings) -> None:
        self._ctx = ctx
        self.settings = settings
        self.arriving: dict[Any, Client] = {}
        self.clients: dict[str, Client] = {}
        self.replay = Replay()
        self._rooms: defaultdict[str, set[Client]] = defaultdict(set)
        self._upgrades: dict[str, web.Request] = {}
        self._heard: dict[str, tuple[float, int]] = {}
        self.sio = _Server(
            async_mode="aiohttp",
            cors_allowed_origins=self._allows_origin,
            max_http_buffer_size=MAX_FRAME,
            logger=_quiet("studio.socketio"),
            engineio_logger=_quiet("studio.engineio"),
        )
        self.sio.transport = self
        quicken(self.sio.eio)
        self.sio.on("connect", self._connect)
        self.sio.on("disconnect", self._gone)
        self.sio.on("join", self._join)
        self.sio.on("leave", self._leave)

    async def handle(self, raw: web.Request) -> web.StreamResponse:
        """Give one HTTP request or websocket to Engine.IO."""
        eio_sid = raw.query.get("sid", "")
        if not eio_sid and len(self.sio.eio.sockets) >= self.settings.total:
            raise UnavailableError("There is no room for another connection.", retry_after=5)
        if "Upgrade" not in raw.headers:
            return await self._engine(raw)
        if eio_sid:
            self._upgrades[eio_sid] = raw
        try:
            return await self._engine(raw)
        except MALFORMED as error:
            self.malformed(eio_sid or self._eio_sid_of(raw), error)
            raise BadRequestError("A frame cannot be read.", code="malformed_frame") from error
        finally:
            self._upgrades.pop(eio_sid, None)

    async def send(self, message: Message) -> None:
        """Encode once and put the packet straight into every queue."""
        room = _room(message.target, message.target_id)
        offset = str(self.replay.next_offset())
        text = "2" + orjson.dumps([message.event, message.wire, offset]).decode()
        packet = Packet(engineio.packet.MESSAGE, text)
        size = len(text)
        self.replay.add(room, packet, size)
        for client in tuple(self._rooms.get(room, ())):
            self._put(client, packet, size)

    async def disconnect(self, user_id: str, *, session_id: str | None = None) -> None:
        """Send DISCONNECT to the user's clients, which then stay away, and close the connections."""
        self.replay.forget(user_id, session_id)
        for client in tuple(self._rooms.get(_room("user", user_id), ())):
            if session_id in (None, client.actor.session_id):
                client.pid = ""
                await self.sio.disconnect(client.sid)
                asyncio.get_running_loop().call_later(GOODBYE_S, self._abort, client.eio_sid)

    async def close(self) -> None:
        """Close every transport: the clients reconnect by themselves, each after a random time."""
        engine = self.sio.eio
        for socket in tuple(engine.sockets.values()):
            await socket.close(wait=False)
            socket.queue.put_nowait(None)
        if engine.service_task_handle is not None:
            await engine.shutdown()

    def admit(self, client: Client) -> None:
        """Join the client to its rooms, behind all that it missed."""
        socket = self.sio.eio.sockets.get(client.eio_sid)
        if socket is None or socket.closed:
            return  # it left while its token was checked
        self.clients[client.sid] = client
        for room in client.rooms:
            self._rooms[room].add(client)
        for packet, _ in client.replay:
            socket.queue.put_nowait(packet)
        client.replay.clear()

    def expect(self, eio_sid: str) -> None:
        """Cut a connection that has not shown a token in time."""
        if self.sio.manager.sid_from_eio_sid(eio_sid, "/") not in self.clients:
            self._abort(eio_sid)

    def may_speak(self, eio_sid: str) -> bool:
        """Count a packet of the client; cut it when it sends more than anybody needs to."""
        if eio_sid not in self.sio.eio.sockets:
            return False  # it has been cut, and goes on sending
        now = time.monotonic()
        began, count = self._heard.get(eio_sid, (now, 0))
        if now - began > 10:  # noqa: PLR2004 - as the setting's name says
            began, count = now, 0
        self._heard[eio_sid] = began, count + 1
        if count < self.settings.packets_per_10s:
            return True
        self._ctx.log.info("talkative_client_cut", packets=count)
        self._abort(eio_sid)
        return False

    def forget(self, eio_sid: str) -> None:
        """Drop what was counted of a connection that ended."""
        self._heard.pop(eio_sid, None)

    def malformed(self, eio_sid: str, error: Exception) -> None:
        """Cut a client that sends what is not the protocol; its next packets would be no better."""
        self._ctx.log.info("malformed_packet", error=repr(error))
        self._abort(eio_sid)

    def _eio_sid_of(self, raw: web.Request) -> str:
        return next((sid for sid, e in self.sio.environ.items() if e.get("aiohttp.request") is raw), "")

    async def _engine(self, raw: web.Request) -> web.StreamResponse:
        response: web.StreamResponse = await self.sio.eio.handle_request(raw)
        return response

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        token = auth.get("token") if isinstance(auth, dict) else None
        if not isinstance(token, str) or not token:
            raise _refused("unauthenticated", 'Send the access token as `auth: {token: "…"}`.')
        remote = environ["aiohttp.request"].remote or ""
        try:
            async with asyncio.timeout(CONNECT_S):
                shown = Credentials(f"Bearer {token}", remote=remote)
                actor = await self._ctx.auth.authenticate(shown)
        except StudioError as error:
            raise _refused(error.code, error.detail) from error
        except TimeoutError as error:
            raise _refused("unavailable", "Signing in took too long; try again.") from error
        eio_sid = self.sio.manager.eio_sid_from_sid(sid, "/")
        client = await self._recover(sid, eio_sid, actor, auth) or Client(
            sid, eio_sid, actor, secrets.token_urlsafe(18), {_room("user", actor.user_id)}, self.replay.newest
        )
        if self._connections_of(actor.user_id) >= self.settings.per_user:
            raise _refused("too_many_connections", f"A user may have {self.settings.per_user} connections.")
        self.arriving[sid] = client
        self._ctx.spawn(self._look_again(sid, shown), "look-again")

    async def _look_again(self, sid: str, shown: Credentials) -> None:
        """Cut who was let in by an answer from before a revocation, whose order to disconnect did not find them yet."""
        await asyncio.sleep(AGAIN_S)
        if (client := self.clients.get(sid)) is None:
            return
        projects = [room.removeprefix("project:") for room in client.rooms if room.startswith("project:")]
        try:
            await self._ctx.auth.authenticate(shown)
            for project in projects:
                await self._ctx.auth.require(client.actor, "project:read", project)
        except (UnauthenticatedError, ForbiddenError, NotFoundError):
            self._abort(client.eio_sid)
        except StudioError as error:  # nobody can tell now: an order to disconnect still finds it
            self._ctx.log.info("connection_not_looked_at_again", error=repr(error))

    def _connections_of(self, user_id: str) -> int:
        arriving = sum(client.actor.user_id == user_id for client in self.arriving.values())
        return arriving + len(self._rooms.get(_room("user", user_id), ()))

    async def _recover(self, sid: str, eio_sid: str, actor: Actor, auth: dict[str, Any]) -> Client | None:
        """Return the client as it was, rooms and missed events included, if all of that can be had."""
        pid = auth.get("pid")
        lost = self.replay.take(pid, actor.user_id, actor.session_id)
        if lost is None:
            return None
        try:
            for room in lost.rooms:
                if room.startswith("project:"):
                    await self._ctx.auth.require(actor, "project:read", room.removeprefix("project:"))
        except StudioError:
            return None  # a right was taken away meanwhile: it starts afresh and joins what it may
        missed = self.replay.missed(lost.rooms, auth.get("offset"), lost.offset)
        if missed is None or len(missed) > MAX_QUEUED or sum(size for _, size in missed) > MAX_BYTES:
            return None
        return Client(sid, eio_sid, actor, str(pid), set(lost.rooms), self.replay.newest, missed)

    async def _gone(self, sid: str, _: Any = None) -> None:
        self.arriving.pop(sid, None)
        client = self.clients.pop(sid, None)
        if client is None:
            return
        for room in client.rooms:
            self._rooms[room].discard(client)
            if not self._rooms[room]:
                del self._rooms[room]
        if client.pid:
            user, session = client.actor.user_id, client.actor.session_id
            self.replay.keep(client.pid, user, session, frozenset(client.rooms), client.offset)

    async def _join(self, sid: str, data: Any = None, *_: Any) -> dict[str, Any]:
        client, project = self.clients.get(sid), _project(data)
        if client is None or project is None or len(client.rooms) > MAX_ROOMS:
            return {"ok": False, "code": "invalid_input", "detail": "Send {projectId}; at most 50 projects."}
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._ctx.auth.require(client.actor, "project:read", project)
        except StudioError as error:
            return {"ok": False, "code": error.code, "detail": error.detail}
        if sid in self.clients:
            client.rooms.add(f"project:{project}")
            self._rooms[f"project:{project}"].add(client)
        return {"ok": True}

    async def _leave(self, sid: str, data: Any = None, *_: Any) -> dict[str, Any]:
        client, project = self.clients.get(sid), _project(data)
        if client and project:
            client.rooms.discard(f"project:{project}")
            self._rooms[f"project:{project}"].discard(client)
        return {"ok": True}

    def _put(self, client: Client, packet: Packet, size: int) -> None:
        socket = self.sio.eio.sockets.get(client.eio_sid)
        if socket is None or socket.closed:
            return
        waiting = socket.queue.qsize()
        while len(client.sizes) > waiting:
            client.queued -= client.sizes.popleft()
        if waiting >= MAX_QUEUED or client.queued + size > MAX_BYTES:
            self._ctx.log.info("slow_client_cut", user_id=client.actor.user_id, packets=waiting)
            client.pid = ""
            self._abort(client.eio_sid)
            return
        client.sizes.append(size)
        client.queued += size
        socket.queue.put_nowait(packet)

    def _abort(self, eio_sid: str) -> None:
        """Cut the connection below Engine.IO, which would wait for a client that does not read."""
        socket = self.sio.eio.sockets.get(eio_sid)
        if socket is None:
            return
        environ = self.sio.environ.get(eio_sid) or {}
        raw = self._upgrades.get(eio_sid) or environ.get("aiohttp.request")
        if socket.upgraded and raw is not None and raw.transport is not None:
            raw.transport.abort()
        while not socket.queue.empty():
            socket.queue.get_nowait()
            socket.queue.task_done()
        socket.queue.put_nowait(None)
        self._ctx.spawn(socket.close(wait=False, abort=True), "cut")
        self.sio.eio.sockets.pop(eio_sid, None)

    def _allows_origin(self, origin: str, environ: dict[str, Any]) -> bool:
        own = {environ.get("HTTP_HOST", "")}
        if public := self._ctx.config.server.public_url:
            own.add(urlsplit(public).netloc)
        return urlsplit(origin).netloc in own or origin in self._ctx.config.web.cors_origins


def _room(target: str, target_id: str) -> str:
    return f"user:{target_id}" if target == "user" else target_id


def _project(data: Any) -> str | None:
    project = data.get("projectId") if isinstance(data, dict) else None
    return project if isinstance(project, str) and 0 < len(project) <= 64 else None  # noqa: PLR2004 - ids have 26


def _refused(code: str, detail: str) -> RefusedError:
    return RefusedError(detail, {"code": code})
