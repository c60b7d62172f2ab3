"""Calls a running Studio with what Schemathesis generates from its document, fitting and unfitting alike.

Runs in an environment of its own (Schemathesis brings a pytest plugin, which would sit in every test run).
Reads its orders as JSON from the standard input, prints one JSON object: figures and findings.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

ORDER = ("GET", "OPTIONS", "PUT", "PATCH", "POST", "DELETE")
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
SLOW_S, SHOWN_SLOW_S, READ_S = 1.0, 0.3, 30
LARGEST = 5_000_000
PARTS = {"50": 0.5, "99": 0.99, "999": 0.999}


class Server:
    """The process that is called: its address, an account, and what of a processor it has used."""

    def __init__(self, orders):
        self.url, self.address, self.outbox = orders["url"], orders["address"], Path(orders["outbox"])
        self.pids, self.known = orders["pids"], orders["known"]
        self.session = requests.Session()
        self.session.trust_env = False
        self.token = ""

    def sign_in(self):
        before = set(self.outbox.glob("*.eml"))
        self.session.post(f"{self.url}/api/auth/otp/request", json={"email": self.address}, timeout=READ_S)
        end = time.monotonic() + READ_S
        while time.monotonic() < end:
            for mail in set(self.outbox.glob("*.eml")) - before:
                if self.address in (text := mail.read_text(errors="replace")):
                    code = re.search(r"\b(\d{6,10})\b", text.partition("\n\n")[2])[1]
                    body = {"email": self.address, "code": code}
                    answer = self.session.post(f"{self.url}/api/auth/otp/verify", json=body, timeout=READ_S)
                    self.token = answer.json()["accessToken"]
                    return
            time.sleep(0.02)
        raise SystemExit(f"no code for {self.address} in {self.outbox}")

    def cpu_s(self):
        """Return the processor time of the server and its database so far; 0 where nobody tells."""
        total = 0
        for pid in self.pids:
            for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                try:
                    total += int(task.read_text().split()[0])
                except (OSError, ValueError):
                    continue
        return total / 1e9

    def send(self, case):
        """Return (response, wall seconds, processor seconds); of an endless answer only the head is read."""
        kwargs = case.as_transport_kwargs(base_url=self.url)
        kwargs["headers"] = {**kwargs.get("headers", {}), "Authorization": f"Bearer {self.token}"}
        cpu, began = self.cpu_s(), time.perf_counter()
        with self.session.request(
            **kwargs, stream=True, timeout=(READ_S, READ_S), allow_redirects=False
        ) as answer:
            if answer.headers.get("Content-Type", "").startswith("text/event-stream"):
                answer._content = b""
                answer.raw.close()
            else:
                answer._content = answer.raw.read(LARGEST, decode_content=True)
            answer._content_consumed = True
        return answer, time.perf_counter() - began, self.cpu_s() - cpu


class Run:
    """Generates, sends, checks and counts."""

    def __init__(self, server, wanted):
        self.server, self.wanted = server, wanted
        self.walls, self.cpus, self.slow, self.errors = [], [], [], []
        self.statuses, self.lies = Counter(), {}

    def everything(self, schema):
        operations = [found.ok() for found in schema.get_all_operations()]
        operations.sort(key=lambda o: (ORDER.index(o.method.upper()), o.path))
        each = max(1, self.wanted // (2 * len(operations)))
        for operation in operations:
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                self.one(operation, mode, each, 1)
        turn = 2
        while len(self.walls) < self.wanted:  # small schemas have fewer examples than were asked for
            operation = operations[turn % len(operations)]
            self.one(operation, GenerationMode.NEGATIVE, min(each * 2, self.wanted - len(self.walls)), turn)
            turn += 1
        return len(operations)

    def one(self, operation, mode, count, number):
        @seed(number)
        @settings(
            max_examples=count, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(operation.as_strategy(generation_mode=mode))
        def generated(case):
            if len(self.walls) < self.wanted:
                self.call(case)

        try:
            generated()
        except (
            Exception
        ) as error:  # every schema fits something, but not every one leaves room for what does not
            if "Unsatisfiable" not in type(error).__name__ and "negative" not in str(error).lower():
                raise

    def call(self, case):
        known = self.server.known
        if len(self.walls) % 4 and isinstance(case.path_parameters, dict):
            case.path_parameters.update(known["paths"].get(f"{case.method.upper()} {case.path}", {}))
        if len(self.walls) % 2:
            for part in (case.query, case.body):
                if isinstance(part, dict):
                    part.update({name: known["names"][name] for name in part if name in known["names"]})
        answer, wall, cpu = self.server.send(case)
        self.walls.append(wall)
        self.cpus.append(cpu)
        self.statuses[answer.status_code] += 1
        label = f"{case.method} {case.path}"
        if answer.status_code >= 500:
            self.errors.append(
                {"call": label, "status": answer.status_code, "body": answer.text[:500], **sent(case)}
            )
        if wall > SHOWN_SLOW_S:
            self.slow.append(self.again(case, {"call": label, "wall_s": wall, "cpu_s": cpu}))
        if answer.status_code == 401:
            self.server.sign_in()
        if len(answer.content) < LARGEST and "event-stream" not in answer.headers.get("Content-Type", ""):
            self.check(case, answer, label)

    def again(self, case, found):
        """A call over a second is sent twice more: what is slow by itself is slow again, a busy machine is not."""
        found["again_s"] = [self.server.send(case)[1] for _ in range(2)] if found["wall_s"] > SLOW_S else []
        return found

    def check(self, case, answer, label):
        try:
            case.validate_response(Response.from_requests(answer, verify=False), checks=CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                key = f"{label} {answer.status_code}: {type(failure).__name__}: {str(failure)[:160]}"
                self.lies.setdefault(key, {"body": answer.text[:300], **sent(case)})


def sent(case):
    return {
        "query": repr(case.query)[:300],
        "sent": repr(case.body)[:300],
        "path": repr(case.path_parameters)[:300],
    }


def main():
    warnings.simplefilter("ignore")
    orders = json.load(sys.stdin)
    server = Server(orders)
    server.sign_in()
    run = Run(server, orders["calls"])
    schema = schemathesis.openapi.from_dict(orders["document"])
    operations = run.everything(schema)
    walls, cpus = sorted(run.walls), sorted(run.cpus)
    figures = {f"p{name}_ms": 1000 * walls[int(len(walls) * part)] for name, part in PARTS.items()}
    figures |= {"max_ms": 1000 * walls[-1], "cpu_p999_ms": 1000 * cpus[int(len(cpus) * 0.999)]}
    figures |= {"cpu_max_ms": 1000 * cpus[-1], "load": os.getloadavg()[0]}
    told = {"calls": len(walls), "operations": operations, "statuses": dict(sorted(run.statuses.items()))}
    found = {"errors": run.errors, "slow": run.slow, "lies": run.lies}
    print(json.dumps(figures | told | found))


if __name__ == "__main__":
    main()
