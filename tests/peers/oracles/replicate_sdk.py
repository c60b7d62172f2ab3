"""Replicate's own SDK against a server: what it sends and reads, and whether it accepts signed webhooks.

Arguments: the server's address, a token, a file to upload, and webhooks as JSON: [[headers, body], …].
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from replicate.client import Client
from replicate.webhook import Webhooks, WebhookSigningSecret, WebhookValidationError


def accepted(secret, headers, body):
    try:
        Webhooks.validate(headers=headers, body=body, secret=secret, tolerance=300)
    except (WebhookValidationError, ValueError):
        return False
    return True


def main(base_url, token, path, webhooks):
    client = Client(api_token=token, base_url=base_url)
    hook = {"webhook": "https://studio.example/hook?token=x", "webhook_events_filter": ["completed"]}
    official = client.models.predictions.create(
        "black-forest-labs/flux-schnell", input={"prompt": "A lighthouse in rain"}, **hook
    )
    by_version = client.predictions.create(version="a" * 64, input={"prompt": "A lighthouse in rain"}, **hook)
    deployed = client.deployments.predictions.create("our/fast", input={"prompt": "A lighthouse in rain"})
    client.predictions.get(official.id)
    done = client.predictions.get(official.id)
    stopped = client.predictions.cancel(by_version.id)
    uploaded = client.files.create(Path(path))
    secret = client.webhooks.default.secret()
    verdicts = [accepted(secret, headers, body) for headers, body in json.loads(webhooks)]
    print(
        json.dumps(
            {
                "created": [official.status, by_version.status, deployed.status],
                "done": [done.status, done.output, done.metrics],
                "stopped": stopped.status,
                "uploaded": uploaded.urls["get"],
                "secret": isinstance(secret, WebhookSigningSecret),
                "verdicts": verdicts,
            }
        )
    )


main(*sys.argv[1:])
