"""The signer, on the examples that AWS publishes; what errors mean; how files are named.

Source: AWS, Signature Calculations for the Authorization Header (Amazon S3), and its page on query parameters.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

import studio
from studio import HttpAnswer, InvalidInputError
from studio_b2.models import KEY, checked_mime, digest_of, error_of, key_of
from studio_b2.signing import EMPTY_SHA256, Signer, encoded_path

pytestmark = pytest.mark.pure
AT = datetime(2013, 5, 24, tzinfo=UTC)
AWS = Signer("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
HOST = {"host": "examplebucket.s3.amazonaws.com"}
CASES = json.loads((Path(__file__).parent / "payloads" / "errors.json").read_text())


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "digest", "signature"),
    [
        ("GET", "/test.txt", {}, {"range": "bytes=0-9"}, EMPTY_SHA256,
         "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        ("PUT", "/test$file.text", {},
         {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
         hashlib.sha256(b"Welcome to Amazon S3.").hexdigest(),
         "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
        ("GET", "/", {"lifecycle": ""}, {}, EMPTY_SHA256,
         "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("GET", "/", {"prefix": "J", "max-keys": "2"}, {}, EMPTY_SHA256,
         "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
    ids=["range", "put", "lifecycle", "list"],
)  # fmt: skip
def test_published_examples_are_signed_as_printed(method, path, query, headers, digest, signature):
    signed = AWS.headers(method, path, query, HOST | headers, digest, AT)
    assert signed["authorization"].endswith(f"Signature={signature}")
    assert signed["x-amz-date"] == "20130524T000000Z"


def test_published_link_is_signed_as_printed():
    query = AWS.query("GET", "/test.txt", HOST, 86400, AT)
    assert query.endswith("&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")
    assert query.startswith(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1"
    )


def test_secret_is_not_shown():
    assert "EXAMPLEKEY" not in repr(AWS)


@pytest.mark.parametrize(("path", "wire"), [("/a b/é.txt", "/a%20b/%C3%A9.txt"), ("/a+b~c", "/a%2Bb~c")])
def test_path_is_encoded_once_and_keeps_its_slashes(path, wire):
    assert encoded_path(path) == wire


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_error_says_what_was_wrong(case):
    error = error_of(HttpAnswer(case["status"], {}, case["body"].encode()))
    assert type(error) is getattr(studio, case["error"])
    assert error.code == case["code"]


@pytest.mark.parametrize(
    ("mime", "suffix"),
    [("image/jpeg", ".jpg"), ("audio/mpeg", ".mp3"), ("text/vtt; charset=utf-8", ".vtt"), ("x/unknown", "")],
)
def test_key_is_the_digest_with_the_suffix_of_the_type(mime, suffix):
    digest = hashlib.sha256(b"x").hexdigest()
    key = key_of(digest, mime)
    assert key == f"{digest[:2]}/{digest}{suffix}"
    assert KEY.fullmatch(key)
    assert digest_of(key) == digest


@pytest.mark.parametrize(
    "mime",
    [
        "",
        "image",
        "image/",
        "/jpeg",
        "image/jpeg\r\nx-amz-acl: public-read",
        "image/jpeg\n",
        "é/x",
        "a/" + "b" * 300,
    ],
)
def test_media_type_that_cannot_stand_in_a_header_is_refused(mime):
    with pytest.raises(InvalidInputError):
        checked_mime(mime)
