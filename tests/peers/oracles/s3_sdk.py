"""What botocore signs, sends and reads over the S3 API; prints JSON.

`signatures <file>`: {key_id, secret, region, cases: [{method, url, headers, body, seconds?}], at}.
`objects <url> <key id> <secret> <region> <bucket>`: stores, reads and links files there.
`read <url> <key id> <secret> <region> <bucket> <key>…`: what lies there.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import sys
import tempfile
from pathlib import Path
from urllib.request import Request, urlopen

import boto3
import botocore.auth
from boto3.s3.transfer import TransferConfig
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

MIB = 1024 * 1024
PLAIN = Config(
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
    s3={"addressing_style": "path"},
    retries={"total_max_attempts": 1},
)


def signatures(path):
    given = json.loads(Path(path).read_text())
    at = dt.datetime.fromisoformat(given["at"])
    botocore.auth.get_current_datetime = lambda: at
    credentials = Credentials(given["key_id"], given["secret"])
    found = []
    for case in given["cases"]:
        request = AWSRequest(case["method"], case["url"], case["headers"], case["body"].encode())
        if "seconds" in case:
            botocore.auth.S3SigV4QueryAuth(credentials, "s3", given["region"], case["seconds"]).add_auth(
                request
            )
            found.append(request.url)
        else:
            request.context["client_config"] = PLAIN
            request.context["payload_signing_enabled"] = True
            botocore.auth.S3SigV4Auth(credentials, "s3", given["region"]).add_auth(request)
            found.append({name.lower(): value for name, value in request.headers.items()})
    return found


def client(url, key_id, secret, region, config=PLAIN):
    return boto3.client(
        "s3", endpoint_url=url, aws_access_key_id=key_id, aws_secret_access_key=secret, region_name=region,
        config=config,
    )  # fmt: skip


def objects(url, key_id, secret, region, bucket):
    s3 = client(url, key_id, secret, region)
    name = "a b/é+~.txt"
    s3.put_object(Bucket=bucket, Key=name, Body=b"hello", ContentType="text/plain")
    large = bytes(range(256)) * (11 * MIB // 256)
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    with tempfile.NamedTemporaryFile() as file:
        file.write(large)
        file.flush()
        s3.upload_file(file.name, bucket, "large", Config=config)
    put = {"Bucket": bucket, "Key": "linked", "ContentType": "text/plain"}
    link = s3.generate_presigned_url("put_object", put, ExpiresIn=60)
    with urlopen(Request(link, b"linked", {"Content-Type": "text/plain"}, method="PUT")) as answer:
        linked = answer.status
    with urlopen(s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "linked"}, 60)) as answer:
        body = answer.read().decode()
    return {
        "small": s3.get_object(Bucket=bucket, Key=name)["Body"].read().decode(),
        "large": s3.get_object(Bucket=bucket, Key="large")["Body"].read() == large,
        "linked": [linked, body],
        "missing": refused(lambda: s3.get_object(Bucket=bucket, Key="nothing")),
        "other_key": refused(lambda: client(url, key_id, "x", region).list_objects_v2(Bucket=bucket)),
        "checksums": refused(
            lambda: modern(url, key_id, secret, region).put_object(Bucket=bucket, Key="x", Body=b"x")
        ),
    }


def modern(url, key_id, secret, region):
    """Return a client as SDKs make them since 2025."""
    return client(
        url,
        key_id,
        secret,
        region,
        Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


def refused(call):
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


def read(url, key_id, secret, region, bucket, *keys):
    s3 = client(url, key_id, secret, region)
    found = {}
    for key in keys:
        answer = s3.get_object(Bucket=bucket, Key=key)
        found[key] = [hashlib.sha256(answer["Body"].read()).hexdigest(), answer["ContentType"]]
    versions = s3.list_object_versions(Bucket=bucket)
    uploads = s3.list_multipart_uploads(Bucket=bucket)
    return {
        "files": found,
        "versions": [row["Key"] for kind in ("Versions", "DeleteMarkers") for row in versions.get(kind, ())],
        "uploads": len(uploads.get("Uploads", ())),
    }


def make(url, key_id, secret, region, bucket):
    s3 = client(url, key_id, secret, region)
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


if __name__ == "__main__":
    print(
        json.dumps(
            {"signatures": signatures, "objects": objects, "read": read, "make": make}[sys.argv[1]](
                *sys.argv[2:]
            )
        )
    )
