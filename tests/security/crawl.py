"""Reads the OpenAPI document and builds requests from it, with real ids of a real user in every place."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from aiohttp import FormData
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import ClientSession

PARAMETER = re.compile(r"\{(\w+)\}")
WORDS = (
    "Words",
    "en",
    "a",
    "123456",
    "0" * 16,
    "#aabbcc",
    "ann@example.org",
    "https://example.org/",
    "a" * 40,
    "1",
)
FILE = b"INT. ROOM - DAY\n\nIt rains.\n"
SHOWN = 400


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).replace("-", "_").lower()


def camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)


@dataclass(frozen=True)
class Operation:
    """One route, as the document tells it."""

    method: str
    path: str
    permission: str
    query: dict[str, dict[str, Any]]
    required: frozenset[str]
    body: dict[str, Any] | None
    """The schema of a JSON body."""
    media: tuple[str, ...]

    @property
    def parameters(self) -> list[str]:
        return PARAMETER.findall(self.path)

    @property
    def public(self) -> bool:
        return self.permission == "public"

    @property
    def json(self) -> bool:
        return "application/json" in self.media

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def matches(self, path: str) -> bool:
        """Return whether an address of another route is one of this one's too."""
        return (
            re.fullmatch(
                PARAMETER.sub("[^/]+", re.escape(self.path).replace(r"\{", "{").replace(r"\}", "}")), path
            )
            is not None
        )


@dataclass(frozen=True)
class Call:
    """One request to send."""

    operation: Operation
    values: dict[str, str]
    query: tuple[tuple[str, str], ...] = ()
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    data: Any = None

    @property
    def url(self) -> str:
        def value(found: re.Match[str]) -> str:
            return (
                URL.build(path="/" + self.values[found[1]].replace("/", "\0"))
                .raw_path[1:]
                .replace("%00", "%2F")
            )

        return PARAMETER.sub(value, self.operation.path)

    def sent(self) -> str:
        """Return everything the client said, to tell an echo from a leak."""
        return json.dumps([self.values, self.query, self.body], ensure_ascii=False)


@dataclass(frozen=True)
class Answer:
    """What came back, of a stream only its head."""

    status: int
    text: str
    type: str
    code: str

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    def __str__(self) -> str:
        return f"{self.status} {self.code} {self.text[:SHOWN]!r}"


def operations(document: dict[str, Any]) -> list[Operation]:
    """Return every route of the document."""
    return [
        _operation(method.upper(), path, told)
        for path, methods in document["paths"].items()
        for method, told in methods.items()
    ]


def _operation(method: str, path: str, told: dict[str, Any]) -> Operation:
    query = [p for p in told["parameters"] if p["in"] == "query"]
    content = told.get("requestBody", {}).get("content", {})
    return Operation(
        method,
        path,
        told["x-permission"],
        {p["name"]: p["schema"] for p in query},
        frozenset(p["name"] for p in query if p.get("required")),
        content.get("application/json", {}).get("schema"),
        tuple(content),
    )


class Sampler:
    """Makes values that fit a schema."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._schemas = document["components"]["schemas"]

    def plain(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema behind references, and of alternatives the first that is not null."""
        while True:
            if "$ref" in schema:
                schema = self._schemas[schema["$ref"].rpartition("/")[2]]
            elif options := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
                schema = next(o for o in options if o.get("type") != "null")
            else:
                return schema

    def value(self, schema: dict[str, Any], name: str, owner: Owner) -> Any:
        """Return a value; a field called `storyId` gets the owner's story."""
        if name.endswith("Id") and not owner.named(name) and {"type": "null"} in schema.get("anyOf", ()):
            return None
        schema = self.plain(schema)
        if "const" in schema or "enum" in schema:
            return schema.get("const", schema.get("enum", [None])[0])
        makers = {
            "object": lambda: self.body(schema, owner),
            "array": lambda: [self.value(schema["items"], name.removesuffix("s"), owner)],
            "boolean": lambda: True,
            "integer": lambda: schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1),
        }
        make = makers.get(schema.get("type", "string"), lambda: owner.named(name) or self._text(schema))
        return make()

    def body(self, schema: dict[str, Any], owner: Owner) -> dict[str, Any]:
        """Return an object with what is required, or else with one field, as an edit needs."""
        schema = self.plain(schema)
        fields, wanted = schema.get("properties", {}), list(schema.get("required", ()))
        if not wanted:
            wanted = [n for n, s in fields.items() if self.plain(s).get("type") in ("string", "boolean")][:1]
        return {name: self.value(fields[name], name, owner) for name in wanted}

    def fields(self, schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the fields of an object's schema."""
        found: dict[str, dict[str, Any]] = self.plain(schema).get("properties", {})
        return found

    def _text(self, schema: dict[str, Any]) -> str:
        words = ("ann@example.org",) if schema.get("format") == "email" else WORDS
        low, high = schema.get("minLength", 0), schema.get("maxLength", 10**6)
        fitting = [w for w in words if low <= len(w) <= high and re.search(schema.get("pattern", ""), w)]
        return fitting[0] if fitting else "x" * low


@dataclass
class Owner:
    """A user and what is theirs: by name of a parameter, and by the path's segment in front of it."""

    address: str
    token: str
    names: dict[str, str] = field(default_factory=dict)
    segments: dict[str, dict[str, Any]] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    """Every id in answers to them, to find one in an answer to somebody else."""
    key: str = ""
    """An API key of theirs, with a single scope."""
    samples: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Good bodies by operation, where the schema alone does not tell."""

    def named(self, name: str) -> str | None:
        """Return the owner's id for a field such as `storyId`, `story` or `story_id`."""
        plain = snake(name)
        return self.names.get(plain) or self.names.get(f"{plain}_id")

    def parameter(self, path: str, name: str) -> str | None:
        """Return a real value of a path's parameter."""
        before = path.split("{" + name + "}", maxsplit=1)[0].rstrip("/").rpartition("/")[2]
        found = self.segments.get(before, {})
        value = found.get(camel(name), found.get("id")) or self.names.get(name)
        return None if value is None else str(value)

    def learn(self, operation: Operation, text: str) -> None:
        """Take the ids out of an answer."""
        try:
            data = json.loads(text)
        except ValueError:
            return
        last = operation.path.rstrip("/").rpartition("/")[2]
        self._segment(last, data.get("items", data) if isinstance(data, dict) else data)
        self.take(data)

    def _segment(self, segment: str, found: Any) -> None:
        one = next((d for d in found if not d.get("current")), None) if _documents(found) else found
        if isinstance(one, dict) and ("id" in one or _documents(found)) and not segment.startswith("{"):
            self.segments.setdefault(segment, one)

    def take(self, data: Any) -> None:
        """Take every id out of an answer's data."""
        if isinstance(data, list):
            for part in data:
                self.take(part)
        if not isinstance(data, dict):
            return
        for name, value in data.items():
            if isinstance(value, str) and (name == "id" or name.endswith("Id")) and len(value) > 8:
                self.ids.add(value)
                if name != "id":
                    self.names.setdefault(snake(name), value)
            elif _documents(value):
                self._segment(name, value)
            self.take(value)


def _documents(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(part, dict) for part in value)


class Api:
    """Sends calls to the running platform."""

    def __init__(self, session: ClientSession, base: str, document: dict[str, Any]) -> None:
        self._session, self._base = session, base
        self.operations = operations(document)
        self.sampler = Sampler(document)
        self.calls = 0

    async def send(self, call: Call, token: str | None) -> Answer:
        """Send one request and read at most a megabyte of the answer; of an endless one nothing."""
        self.calls += 1
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **call.headers}
        url = URL(self._base + call.url, encoded=True).extend_query(list(call.query))
        body = {"json": call.body} if call.body is not None else {"data": call.data}
        async with (
            asyncio.timeout(20),
            self._session.request(
                call.operation.method, url, headers=headers, allow_redirects=False, **body
            ) as response,
        ):
            endless = response.content_type == "text/event-stream"
            text = "" if endless else (await response.content.read(1_000_000)).decode("utf-8", "replace")
            if endless:
                response.close()
            found = re.search(r'"code":\s*"(\w+)"', text[:2000])
            return Answer(response.status, text, response.content_type, found[1] if found else "")

    def build(self, operation: Operation, owner: Owner) -> Call:
        """Return the request that `owner` would send; raises LookupError for a parameter without an object."""
        values = {name: owner.parameter(operation.path, name) for name in operation.parameters}
        if missing := [name for name, value in values.items() if value is None]:
            raise LookupError(f"{operation}: no object for {missing}")
        query = [(name, self._in_query(operation, name, owner)) for name in operation.query]
        call = Call(
            operation,
            {n: v for n, v in values.items() if v},
            tuple((n, v) for n, v in query if v is not None),
        )
        if operation.body:
            body = owner.samples.get(str(operation)) or self.sampler.body(operation.body, owner)
            return replace(call, body=body)
        if operation.media:
            return self.with_file(call, operation.media[0])
        return call

    def with_file(self, call: Call, kind: str) -> Call:
        """Return the call with a small file as its body."""
        if kind != "multipart/form-data":
            return replace(call, data=FILE, headers={"Content-Type": kind})
        form = FormData()
        form.add_field("file", FILE, filename="story.txt", content_type="text/plain")
        return replace(call, data=form)

    def _in_query(self, operation: Operation, name: str, owner: Owner) -> str | None:
        known = owner.named(name)
        if known or name not in operation.required:
            return known
        found = self.sampler.value(operation.query[name], name, owner)
        return str(found).lower() if isinstance(found, bool) else str(found)

    async def explore(self, owner: Owner, admin: Owner, platform: frozenset[str]) -> None:
        """Read every list and make what is missing, until nothing new is learnt: new plugins are met here.

        The admin reads what needs one of the `platform` permissions.
        """
        reads = [o for o in self.operations if o.method == "GET" and not o.public]
        tried: set[str] = set()
        while True:
            before = len(owner.names) + len(owner.segments)
            for operation in itertools.chain(reads, self._creators(owner)):
                if str(operation) not in tried and (call := self._possible(operation, owner)):
                    tried.add(str(operation))
                    reader = admin if operation.permission in platform else owner
                    answer = await self.send(call, reader.token)
                    if answer.good:
                        owner.learn(operation, answer.text)
            if before == len(owner.names) + len(owner.segments):
                return

    def _possible(self, operation: Operation, owner: Owner) -> Call | None:
        try:
            call = self.build(operation, owner)
        except LookupError:
            return None
        return call if operation.required <= {name for name, _ in call.query} else None

    def _creators(self, owner: Owner) -> Iterator[Operation]:
        """Yield the POST routes of collections from which nobody has an object yet."""
        lacking = [
            o.path for o in self.operations if any(owner.parameter(o.path, n) is None for n in o.parameters)
        ]
        for operation in self.operations:
            if operation.method == "POST" and any(p.startswith(operation.path + "/{") for p in lacking):
                yield operation
