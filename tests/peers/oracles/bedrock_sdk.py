"""What botocore makes of our requests, of the answers, the errors and the streams of our fake; prints JSON.

Argument: a JSON file {arn, bodies, documents, errors: [[status, headers, body]], streams: [base64]}.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError
from botocore.stub import Stubber


class Raw:
    """A body as urllib3 gives it."""

    def __init__(self, body):
        self.body = body

    def stream(self, *_, **__):
        yield self.body


def client():
    os.environ["AWS_BEARER_TOKEN_BEDROCK"] = "the-key"
    os.environ["AWS_MAX_ATTEMPTS"] = "1"
    session = botocore.session.Session()
    return session.create_client("bedrock-runtime", region_name="us-east-1")


def sent(arn, body):
    """Return path and body as botocore sends them; it checks them against the service model first."""
    found = []

    def keep(request, **_):
        found.append((request.method, urlsplit(request.url).path, json.loads(request.body)))
        found.append(request.headers["Authorization"].decode())
        return AWSResponse(request.url, 400, {}, Raw(b"{}"))

    made = client()
    made.meta.events.register("before-send.bedrock-runtime.Converse", keep)
    try:
        made.converse(modelId=arn, **body)
    except ClientError:
        return found
    raise AssertionError("a refusal was given and not noticed")


def read(arn, body, document):
    """Return a canned answer after botocore has checked it against the service model."""
    made = client()
    with Stubber(made) as stub:
        stub.add_response("converse", document, {"modelId": arn, **body})
        return made.converse(modelId=arn, **body)


def refused(arn, body, status, headers, text):
    """Return the code that botocore reads from an error."""
    made = client()
    made.meta.events.register(
        "before-send.bedrock-runtime.Converse",
        lambda request, **_: AWSResponse(request.url, status, headers, Raw(text.encode())),
    )
    try:
        made.converse(modelId=arn, **body)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["Error"]["Message"]
    raise AssertionError("an error was given and not noticed")


def decoded(data):
    buffer = EventStreamBuffer()
    buffer.add_data(base64.b64decode(data))
    return [[event.headers, json.loads(event.payload)] for event in buffer]


def main(path):
    given = json.loads(Path(path).read_text())
    arn, bodies = given["arn"], given["bodies"]
    return {
        "sent": [sent(arn, body) for body in bodies],
        "read": [read(arn, body, one) for body, one in zip(bodies, given["documents"], strict=True)],
        "refused": [refused(arn, bodies[0], *error) for error in given["errors"]],
        "decoded": [decoded(stream) for stream in given["streams"]],
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
