"""A Prefect server that is none: deployments, runs once per key, and a cancel that answers REJECT when it worked.

Source: answers of a Prefect 3.8.8 server.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import orjson
from aiohttp import web

from studio.testing.vendor import FakeVendor

KEY = "pnu_fake_0123456789abcdef"
TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
TYPES = {*TERMINAL, "SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"}
BODY = {"parameters", "tags", "labels", "idempotency_key", "state", "name", "job_variables", "work_queue_name",
        "context", "parent_task_run_id", "infrastructure_document_id", "enforce_parameter_schema"}  # fmt: skip
NAMES = {"SCHEDULED": "Scheduled", "CANCELLING": "Cancelling", "CANCELLED": "Cancelled"}


class FakePrefect(FakeVendor):
    """`deploy` first; `move` is what a worker does. `authorization` is the header that it insists on, if any."""

    def __init__(self):
        super().__init__()
        self.authorization = None
        self.deployments = {}
        self.runs = {}
        self._keys = {}

    def deploy(self, name, required=()):
        self.deployments[name] = {"id": str(uuid.uuid4()), "required": tuple(required)}
        return self.deployments[name]["id"]

    def move(self, run_id, state, *, name=None, message="", at=None):
        """Put a run into a state, whatever it was in before, as the real server does."""
        run = self.runs[run_id]
        run["state"] = self._state(state, name, message, at)
        run |= {"state_type": state, "state_name": run["state"]["name"], "state_id": run["state"]["id"]}
        return run["state"]

    def routes(self):
        return [
            web.get("/api/health", self._health),
            web.get("/api/admin/version", self._version),
            web.get("/api/deployments/name/{flow}/{deployment}", self._deployment),
            web.post("/api/deployments/{id}/create_flow_run", self._create),
            web.get("/api/flow_runs/{id}", self._get),
            web.post("/api/flow_runs/{id}/set_state", self._set_state),
        ]

    def error_body(self, status):
        return (
            {"exception_message": "Internal Server Error"}
            if status == 500
            else {"detail": f"status {status}"}
        )

    def _state(self, state, name=None, message="", at=None):
        at = at or datetime.now(UTC)
        return {
            "id": str(uuid.uuid4()), "type": state, "name": name or NAMES.get(state, state.title()),
            "timestamp": at.isoformat().replace("+00:00", "Z"), "message": message, "data": None,
            "state_details": {"flow_run_id": None, "task_run_id": None},
        }  # fmt: skip

    def _refused(self, request):
        if self.authorization and request.headers.get("Authorization") != self.authorization:
            return web.json_response({"exception_message": "Unauthorized"}, status=401)
        return None

    async def _health(self, request):
        return web.json_response(True)

    async def _version(self, request):
        return web.json_response("3.8.8")

    async def _deployment(self, request):
        if refused := self._refused(request):
            return refused
        name = f"{request.match_info['flow']}/{request.match_info['deployment']}"
        found = self.deployments.get(name)
        if found is None:
            return web.json_response({"detail": "Deployment not found"}, status=404)
        return web.json_response({"id": found["id"], "name": name.partition("/")[2], "paused": False})

    async def _create(self, request):
        if refused := self._refused(request):
            return refused
        body = orjson.loads(await request.read())
        if unknown := set(body) - BODY:
            told = [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", min(unknown)],
                    "msg": "Extra inputs are not permitted",
                }
            ]
            wrong = {
                "exception_message": "Invalid request received.",
                "exception_detail": told,
                "request_body": body,
            }
            return web.json_response(wrong, status=422)
        found = next((d for d in self.deployments.values() if d["id"] == request.match_info["id"]), None)
        if found is None:
            return web.json_response({"detail": "Deployment not found"}, status=404)
        for name in found["required"]:
            if name not in body["parameters"]:
                why = f"Validation failed. Failure reason: '{name}' is a required property"
                return web.json_response({"detail": f"Error creating flow run: {why}"}, status=409)
        return self._run_of(found["id"], body)

    def _run_of(self, deployment, body):
        key = deployment, body.get("idempotency_key")
        if key[1] and key in self._keys:
            return web.json_response(self.runs[self._keys[key]], status=200)
        run = {
            "id": str(uuid.uuid4()), "created": datetime.now(UTC).isoformat(), "name": "quick-otter",
            "flow_id": str(uuid.uuid4()), "deployment_id": deployment, "parameters": body["parameters"],
            "idempotency_key": key[1], "tags": body.get("tags", []), "labels": {}, "run_count": 0, "start_time": None,
            "end_time": None, "total_run_time": 0.0, "work_pool_name": None, "work_queue_name": None,
            "job_variables": {},
        }  # fmt: skip
        self.runs[run["id"]] = run
        self._keys[key] = run["id"]
        self.move(run["id"], "SCHEDULED")
        return web.json_response(run, status=201)

    async def _get(self, request):
        if refused := self._refused(request):
            return refused
        run = self.runs.get(request.match_info["id"])
        if run is None:
            return web.json_response({"detail": "Flow run not found"}, status=404)
        return web.json_response(run)

    async def _set_state(self, request):
        if refused := self._refused(request):
            return refused
        run = self.runs.get(request.match_info["id"])
        if run is None:
            return web.json_response({"detail": "Flow run not found"}, status=404)
        wanted, now = orjson.loads(await request.read())["state"]["type"], run["state_type"]
        if wanted not in TYPES:
            return web.json_response({"exception_message": "Invalid request received."}, status=422)
        if now in TERMINAL:
            return self._said(run, "ABORT", f"Run is already in terminal state {run['state_name']}.")
        if wanted == "CANCELLING" and now in ("SCHEDULED", "PENDING"):
            self.move(run["id"], "CANCELLED")
            return self._said(run, "REJECT", "Scheduled flow run has no infrastructure to terminate.")
        self.move(run["id"], wanted)
        return self._said(run, "ACCEPT")

    def _said(self, run, status, reason=None):
        details = {"type": f"{status.lower()}_details"} | ({"reason": reason} if reason else {})
        state = None if status == "ABORT" else run["state"]
        return web.json_response({"state": state, "status": status, "details": details}, status=201)


def ago(seconds):
    return datetime.now(UTC) - timedelta(seconds=seconds)
