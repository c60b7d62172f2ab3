"""fal's own SDK against a server: what it sends and reads.

Arguments: the server's address, a key, a file to upload, and one to upload in parts. The SDK writes https:// into its
addresses, so they are changed here; every one that it follows later comes from the server's answers.
"""

from __future__ import annotations

import json
import sys

import fal_client.client as room

INPUT = {"prompt": "A lighthouse in rain"}


def status_of(handle):
    found = handle.status()
    return type(found).__name__, getattr(found, "error", None), getattr(found, "error_type", None)


def failure_of(work):
    try:
        return work()
    except room.FalClientHTTPError as error:
        return [error.status_code, str(error.message), error.error_type]


def main(base_url, key, path, large):
    room.QUEUE_URL_FORMAT, room.REST_URL = f"{base_url}/", base_url
    client = room.SyncClient(key=key)
    hook = "https://studio.example/hook?job=1&fal_model=flux-dev"
    handle = client.submit(
        "fal-ai/flux/dev", INPUT, webhook_url=hook, priority="low", start_timeout=60, headers={"X-Test": "1"}
    )
    found = {
        "request_id": handle.request_id,
        "states": [status_of(handle), status_of(handle)],
        "result": client.result("fal-ai/flux/dev", handle.request_id),
        "late": failure_of(lambda: client.cancel("fal-ai/flux/dev", handle.request_id)),
    }
    other = client.submit("fal-ai/flux/dev", INPUT)
    client.cancel("fal-ai/flux/dev", other.request_id)
    found["cancelled"] = [
        status_of(other),
        failure_of(lambda: client.result("fal-ai/flux/dev", other.request_id)),
    ]
    found["uploaded"] = client.upload_file(path, repository="fal", fallback_repository=[])
    room.MULTIPART_THRESHOLD, room.MULTIPART_CHUNK_SIZE = 2_000_000, 1_000_000
    found["in_parts"] = client.upload_file(large, repository="fal_v3", fallback_repository=[])
    print(json.dumps(found))


main(*sys.argv[1:])
