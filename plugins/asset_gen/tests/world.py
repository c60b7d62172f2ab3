"""A whole Studio in memory with fake providers, for tests that step the jobs themselves."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from studio import (
    TERMINAL,
    Actor,
    Estimate,
    ForbiddenError,
    Generation,
    GenerationError,
    MediaFile,
    ModelSpec,
    NotFoundError,
    ProviderError,
    ProviderSpec,
    StoredBlob,
    UnauthenticatedError,
    VoiceInfo,
    WordTiming,
    new_id,
)
from studio.testing import InMemoryDatabase
from studio.testing.kit import Studio, running

if TYPE_CHECKING:
    from pathlib import Path

MODULE = "fake_providers_of_asset_gen"
PLUGINS = ("projects", "stories", "asset_gen", "workbench", "free", "idempotency")
sys.modules[MODULE] = sys.modules[__name__]

SCRIPT = """Title: Rain

INT. KITCHEN - NIGHT

Maya drops a cup.

MAYA
Who is there?

TOM
Only me.

EXT. GARDEN - DAY

Tom waits.

TOM
Let me in.
"""


@dataclass
class Fakes:
    """What the fake providers do, and what they were asked."""

    folder: Path
    requests: list[Any] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    broken_scores: bool = False
    running: dict[str, Generation] = field(default_factory=dict)
    hold: bool = False
    """New work stays "running" until `finish` is called."""

    def of(self, kind: str) -> list[Any]:
        return [request for request in self.requests if type(request).__name__ == kind]

    def finish(self) -> None:
        self.hold = False


FAKES: Any = None


class FakeGenerator:
    name, mime, price, suffix = "fake", "image/png", 1_000, ".png"

    def __init__(self, ctx: Any) -> None:
        del ctx

    def files(self, request: Any) -> tuple[MediaFile, ...]:
        path = FAKES.folder / f"{request.job_id}{self.suffix}"
        path.write_bytes(f"{self.name}:{request.model_dump_json()}".encode())
        return (MediaFile(mime=self.mime, path=path, width=1280, height=720),)

    async def submit(self, request: Any) -> Generation:
        FAKES.requests.append(request)
        if self.name in FAKES.failing:
            error = GenerationError(code="provider_failed", message=f"{self.name} is down")
            return Generation(provider_job_id=request.job_id, state="failed", error=error)
        done = Generation(provider_job_id=request.job_id, state="succeeded", files=self.files(request))
        if FAKES.hold:
            FAKES.running[request.job_id] = done
            return Generation(provider_job_id=request.job_id, retry_after_s=0.001)
        return done

    async def poll(self, provider_job_id: str) -> Generation:
        if FAKES.hold:
            return Generation(provider_job_id=provider_job_id, retry_after_s=0.001)
        return FAKES.running[provider_job_id]

    async def cancel(self, provider_job_id: str) -> bool:
        del provider_job_id
        return False

    def estimate(self, request: Any) -> Estimate:
        del request
        return Estimate(cost_uusd=self.price)


class FakeImages(FakeGenerator):
    pass


class UnpricedImages(FakeGenerator):
    name, price = "unpriced", None


class FakeVoices(FakeGenerator):
    name, mime, price, suffix = "fakevoice", "audio/wav", 10, ".wav"

    def files(self, request: Any) -> tuple[MediaFile, ...]:
        (file,) = super().files(request)
        words = request.text.split()
        timed = tuple(WordTiming(text=w, start_ms=i * 300, end_ms=i * 300 + 250) for i, w in enumerate(words))
        return (file.model_copy(update={"duration_ms": 300 * len(words), "words": timed, "width": None}),)

    async def voices(self) -> list[VoiceInfo]:
        names = ("Amy", "Brian", "Clara", "Dora")
        english = [VoiceInfo(id=f"{self.name}-{n.lower()}", name=n, language="en-GB") for n in names]
        return [*english, VoiceInfo(id=f"{self.name}-hans", name="Hans", language="de")]


class SpareVoices(FakeVoices):
    name = "spare"


class FakeVideos(FakeGenerator):
    name, mime, suffix = "fakevideo", "video/mp4", ".mp4"


class FakeMusic(FakeGenerator):
    name, mime, suffix = "fakemusic", "audio/mpeg", ".mp3"


class FakeFilms(FakeGenerator):
    name, price = "fakefilm", 0

    async def submit(self, request: Any) -> Generation:
        done = await super().submit(request)
        skipped = {"edl": "no time code at 12"} if request.fps == 12 else {}
        return done.model_copy(update={"data": {"skipped": skipped}})

    def files(self, request: Any) -> tuple[MediaFile, ...]:
        request.out_dir.mkdir(parents=True, exist_ok=True)
        found = []
        mimes = {
            "mp4": "video/mp4",
            "srt": "application/x-subrip",
            "vtt": "text/vtt",
            "ass": "text/x-ass",
            "otio": "application/otio+json",
            "edl": "text/x-edl",
            "fcpxml": "application/fcpxml+xml",
        }
        if request.fps == 12:
            del mimes["edl"]
        for suffix, mime in mimes.items():
            path = request.out_dir / f"film.{suffix}"
            path.write_bytes(f"{suffix} of {request.job_id}".encode())
            found.append(MediaFile(mime=mime, path=path, duration_ms=1000 if suffix == "mp4" else None))
        return tuple(found)


class FakeScores(FakeGenerator):
    name, price = "fakescore", 0

    async def submit(self, request: Any) -> Generation:
        if FAKES.broken_scores:
            raise ProviderError("no judgement today")
        scores = [{"scorer": "sharpness", "score": 0.5, "reason": request.image.suffix}]
        return Generation(provider_job_id=request.job_id, state="succeeded", data={"scores": scores})


class FakeStorage:
    def __init__(self, ctx: Any) -> None:
        del ctx

    async def put(self, source: Path, mime: str) -> StoredBlob:
        data = await asyncio.to_thread(source.read_bytes)
        digest = hashlib.sha256(data).hexdigest()
        await asyncio.to_thread(shutil.copyfile, source, FAKES.folder / digest)
        return StoredBlob(key=digest, sha256=digest, bytes=len(data), mime=mime)

    async def path(self, key: str) -> Path:
        path = FAKES.folder / key
        if not path.exists():
            raise NotFoundError("no such file")
        return path


def specs() -> list[ProviderSpec]:
    def spec(name, capability, target, priority=10, kind="per_image"):
        model = ModelSpec(f"{name}-1", kind, 1)
        return ProviderSpec(name, capability, f"{MODULE}:{target}", (model,), priority)

    return [
        spec("fake", "image", "FakeImages"),
        spec("unpriced", "image", "UnpricedImages", 50, "unknown"),
        spec("fakevoice", "voice", "FakeVoices"),
        spec("spare", "voice", "SpareVoices", 50),
        spec("fakevideo", "video", "FakeVideos"),
        spec("fakemusic", "music", "FakeMusic"),
        spec("fakefilm", "film", "FakeFilms"),
        spec("fakescore", "score", "FakeScores", kind="free"),
        spec("disk", "storage", "FakeStorage"),
    ]


class FakeAuth:
    """Tokens are user names; a project's members stand in `members`, role "viewer" only reads, "root" operates."""

    def __init__(self) -> None:
        self.members: dict[str, dict[str, str]] = {}

    async def authenticate(self, credentials: Any) -> Actor:
        name = (credentials.authorization or "").removeprefix("Bearer ")
        if not name:
            raise UnauthenticatedError
        return Actor(name)

    async def require(self, actor: Actor, permission: str, project_id: str | None = None) -> None:
        if project_id is None:  # a right of the platform
            if actor.user_id != "root":
                raise ForbiddenError
            return
        role = self.members.get(project_id, {}).get(actor.user_id)
        if role is None:
            raise NotFoundError
        if role == "viewer" and not permission.endswith(":read"):
            raise ForbiddenError


@dataclass
class Answer:
    status: int
    headers: Any
    json: Any
    body: bytes


@dataclass
class World:
    """One running Studio and a way to drive it."""

    studio: Studio
    auth: FakeAuth
    session: ClientSession
    base: str
    fakes: Fakes

    @property
    def db(self) -> Any:
        return self.studio.services.database

    @property
    def services(self) -> Any:
        return self.studio.services

    def service(self, kind: type) -> Any:
        return self.services.provided[kind][1]

    async def call(
        self, method: str, path: str, json: Any = None, user: str = "ann", **options: Any
    ) -> Answer:
        headers = {"Authorization": f"Bearer {user}"} if user else {}
        headers |= options.pop("headers", {})
        async with self.session.request(
            method, self.base + path, json=json, headers=headers, **options
        ) as got:
            body = await got.read()
            data = (
                await got.json() if got.content_type.endswith("json") and body[:1] in (b"{", b"[") else None
            )
            return Answer(got.status, got.headers, data, body)

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.call("GET", path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> Answer:
        return await self.call("POST", path, json, **options)

    async def story(self, script: str = SCRIPT) -> Story:
        """Make a project with a story of two scenes and three shots, lines included."""
        project_id = new_id()
        await self.db["projects"].insert(
            {
                "_id": project_id, "name": "Rain", "slug": project_id, "owner_id": "ann", "aspect": "16:9",
                "fps": 24, "resolution": "720p", "language": "en", "style_prompt": "ink", "status": "active",
                "rev": 1, "deleted_at": None,
            }
        )  # fmt: skip
        self.auth.members[project_id] = {"ann": "owner", "vic": "viewer"}
        made = await self.post(
            "/api/stories", {"projectId": project_id, "text": script, "format": "fountain"}
        )
        assert made.status == 201, made
        story = Story(self, project_id, made.json["id"])
        await story.add_shots()
        return story

    async def settle(self) -> None:
        """Step all open jobs until none can go on."""
        while True:
            await self.studio.dispatcher.drain()
            where = {"state": {"$nin": list(TERMINAL)}, "next_at": {"$exists": True}}
            open_jobs = await self.db["jobs"].find(where, fields=("state",))
            if not open_jobs:
                return
            for job in open_jobs:
                await self.db["jobs"].update(
                    {"_id": job["_id"], "state": "submitted"}, {"$set": {"next_at": 0}}
                )
                await self.services.jobs.step(job["_id"])

    async def jobs(self, project_id: str) -> list[Any]:
        return await self.db["jobs"].find({"project_id": project_id}, sort=[("_id", 1)])

    async def activities(self, project_id: str) -> list[str]:
        await self.services.activity.flush()
        found = await self.db["projectActivities"].find({"project_id": project_id}, sort=[("_id", 1)])
        return [entry["action"] for entry in found]


@dataclass
class Story:
    """A story with its ids at hand."""

    world: World
    project_id: str
    id: str
    tree: Any = None

    async def read(self) -> Any:
        self.tree = (await self.world.get(f"/api/stories/{self.id}/tree")).json
        return self.tree

    async def add_shots(self) -> None:
        await self.read()
        cast = {one["name"]: one["id"] for one in self.tree["characters"]}
        kitchen, garden = self.tree["scenes"]
        for scene, text, speaker in (
            (kitchen, "Who is there?", "MAYA"),
            (kitchen, "Only me.", "TOM"),
            (garden, "Let me in.", "TOM"),
        ):
            who = next(i for name, i in cast.items() if name.casefold() == speaker.casefold())
            shot = {"description": f"{speaker} speaks", "durationMs": 2000, "characterIds": [who]}
            shot["lines"] = [{"characterId": who, "text": text}]
            made = await self.world.post(f"/api/stories/scenes/{scene['id']}/shots", shot)
            assert made.status == 201, made
        await self.read()

    @property
    def shots(self) -> list[Any]:
        return self.tree["shots"]

    def line_slot(self, number: int) -> str:
        return f"voice:{self.shots[number]['lines'][0]['id']}"

    def target(self, number: int = 0, slot: str = "panel") -> dict[str, str]:
        slot = self.line_slot(number) if slot == "voice" else slot
        return {"type": "shot", "id": self.shots[number]["id"], "slot": slot}

    async def generate(self, number: int = 0, slot: str = "panel", **more: Any) -> Any:
        """Generate one take, run its job, and return the job."""
        made = await self.world.post("/api/assetGen/generate", {"target": self.target(number, slot), **more})
        assert made.status == 202, made
        await self.world.settle()
        await self.read()
        return await self.world.services.jobs.get(made.json["job"]["id"])

    async def batch(self, *kinds: str, **more: Any) -> Any:
        """Order a batch, run it, and return the answer."""
        body = {"storyId": self.id, "kinds": list(kinds), **more}
        made = await self.world.post("/api/assetGen/batch", body)
        assert made.status == 202, made
        await self.world.settle()
        await self.read()
        return made.json

    async def edit_shot(self, number: int, **fields: Any) -> None:
        done = await self.world.call("PATCH", f"/api/stories/shots/{self.shots[number]['id']}", fields)
        assert done.status == 200, done
        await self.read()

    async def edit_line(self, number: int, text: str) -> None:
        line = self.shots[number]["lines"][0] | {"text": text}
        await self.edit_shot(number, lines=[line])

    async def stale(self) -> list[tuple[str, str]]:
        answer = await self.world.get(f"/api/assetGen/stale?storyId={self.id}")
        assert answer.status == 200, answer
        return [(item["kind"], item["target"]["slot"]) for item in answer.json["items"]]

    async def assets(self, **where: Any) -> list[Any]:
        return await self.world.db["assets"].find({"project_id": self.project_id, **where}, sort=[("_id", 1)])


@asynccontextmanager
async def world(folder: Path, database: Any = None, plugins: str = "", **more: str):
    """Start a Studio with the feature plugins, more of them and their settings, and fake providers.

    Its jobs run only by `settle`.
    """
    global FAKES  # noqa: PLW0603 - the providers are made by the kernel, and must find their folder
    before, FAKES = FAKES, Fakes(folder / "files")
    FAKES.folder.mkdir(exist_ok=True)
    environ = {
        "STUDIO_ENV": "test",
        "STUDIO_CONFIG_DIR": str(folder),
        "STUDIO_PLUGINS__ENABLED": ",".join([*PLUGINS, *filter(None, [plugins])]),
        "STUDIO_JOBS__WORKER": "false",
        "STUDIO_LOGGING__LEVEL": "error",
        "STUDIO_LOGGING__DIRECTORY": str(folder / "errors"),
        "STUDIO_WORKBENCH__WORK_DIR": str(folder / "renders"),
        **more,
    }
    studio = Studio(environ=environ, database=database or InMemoryDatabase())
    auth = FakeAuth()
    studio.services.auth = auth  # type: ignore[assignment]
    async with running(studio):
        records = studio.loader.records
        ctx = records["asset_gen"].ctx
        assert ctx, records["asset_gen"].error
        studio.services.providers.register("fakes", ctx, specs())
        async with TestServer(studio.app) as server, ClientSession() as session:
            yield World(studio, auth, session, str(server.make_url("")).rstrip("/"), FAKES)
    FAKES = before
