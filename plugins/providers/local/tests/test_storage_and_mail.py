"""Storage on disk and the outbox."""

from __future__ import annotations

import errno
import hashlib
from email import policy
from email.parser import BytesParser

import pytest
from pydantic import ValidationError

from studio import FileStorage, Mail, Mailer, NotFoundError, StorageFullError
from studio_local.files import replacing, write_whole
from studio_local.mail import LocalOutboxMailer
from studio_local.storage import LocalFileStorage

pytestmark = pytest.mark.memory


@pytest.fixture
def storage(fresh):
    return LocalFileStorage(fresh())


@pytest.fixture
def outbox(fresh):
    return LocalOutboxMailer(fresh())


def everything(root):
    return sorted(path for path in root.rglob("*") if path.is_file()) if root.exists() else []


async def test_file_is_kept_under_its_digest(storage, tmp_path):
    (tmp_path / "a").write_bytes(b"hello")
    blob = await storage.put(tmp_path / "a", "text/vtt")
    assert blob.sha256 == hashlib.sha256(b"hello").hexdigest()
    assert (blob.bytes, blob.mime) == (5, "text/vtt")
    assert blob.key.endswith(".vtt")
    assert (await storage.path(blob.key)).read_bytes() == b"hello"
    assert isinstance(storage, FileStorage)


async def test_equal_bytes_are_kept_once(storage, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"same")
    keys = {(await storage.put(tmp_path / name, "image/jpeg")).key for name in ("a", "b")}
    assert len(keys) == 1
    assert len(everything(storage._root)) == 1


@pytest.mark.parametrize("key", ["../../etc/passwd", "ab/" + "0" * 64, "", "/etc/passwd"])
async def test_unknown_and_foreign_keys_are_not_found(storage, key):
    with pytest.raises(NotFoundError):
        await storage.path(key)
    await storage.delete(key)


async def test_deleted_file_is_gone_and_may_be_deleted_again(storage, tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    key = (await storage.put(tmp_path / "a", "audio/wav")).key
    for _ in range(2):
        await storage.delete(key)
    with pytest.raises(NotFoundError):
        await storage.path(key)


async def test_full_disk_leaves_nothing_behind(storage, tmp_path, tools):
    (tmp_path / "big").write_bytes(bytes(400_000))
    with tools.file_limit(100_000), pytest.raises(StorageFullError, match="free some space"):
        await storage.put(tmp_path / "big", "image/jpeg")
    assert everything(storage._root) == []


async def test_no_space_left_is_storage_full_and_other_errors_stay_themselves(storage, tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"x")
    for code, expected in (
        (errno.ENOSPC, StorageFullError),
        (errno.EDQUOT, StorageFullError),
        (errno.EIO, OSError),
    ):

        def fail(_path, code=code):
            raise OSError(code, "no")

        monkeypatch.setattr("studio_local.storage.sync", fail)
        with pytest.raises(expected):
            await storage.put(tmp_path / "a", "image/jpeg")
    assert everything(storage._root) == []


def test_replacing_keeps_the_old_file_when_writing_fails(tmp_path):
    target = tmp_path / "t.json"
    write_whole(target, b"old")

    def fail_half_way():
        with replacing(target) as part:
            part.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert target.read_bytes() == b"old"
    assert everything(tmp_path) == [target]


async def test_mail_is_a_readable_eml_with_both_bodies(outbox):
    mail = Mail(
        to="ana@example.org",
        subject="Código ✓",
        text="Ihr Code: 123456\nGruß",
        html="<b>123456</b>",
        tags=("otp",),
    )
    assert isinstance(outbox, Mailer)
    await outbox.send(mail, idempotency_key="k1")
    message = BytesParser(policy=policy.default).parsebytes(everything(outbox._folder)[0].read_bytes())
    assert message["Subject"] == "Código ✓"
    assert "Gruß" in message.get_body(("plain",)).get_content()
    found = await outbox.latest("ANA@example.org")
    assert (found.text, found.html, found.tags) == (mail.text, mail.html, ("otp",))


async def test_reader_of_the_folder_finds_whole_mails_only(outbox, monkeypatch):
    seen = []

    def look(*arguments):
        seen.extend(outbox._folder.glob("*.eml"))
        write_whole(*arguments)
        seen.extend(outbox._folder.glob("*.eml"))

    monkeypatch.setattr("studio_local.mail.write_whole", look)
    await outbox.send(Mail(to="a@example.org", subject="s", text="t"), idempotency_key="k")
    assert seen == []
    assert len(await outbox.list()) == 1


async def test_mail_is_sent_once_per_key(outbox):
    mail = Mail(to="a@example.org", subject="s", text="t")
    first = await outbox.send(mail, idempotency_key="k")
    assert await outbox.send(mail, idempotency_key="k") == first
    assert await outbox.send(mail, idempotency_key="k2") != first
    assert len(await outbox.list()) == 2


@pytest.mark.parametrize(
    "change",
    [{"to": "a@x.org\nBcc: b@x.org"}, {"subject": "s\r\nX: y"}, {"tags": ("a\nb",)}, {"to": "a@x.org\0"}],
)
def test_line_breaks_in_headers_are_refused(change):
    with pytest.raises(ValidationError):
        Mail(**({"to": "a@x.org", "subject": "s", "text": "t"} | change))


async def test_mail_can_be_had_as_its_file_and_nothing_else_can(outbox):
    mail_id = await outbox.send(Mail(to="a@x.org", subject="s", text="t"), idempotency_key="k")
    assert (await outbox.eml(mail_id)).startswith(b"From: Studio")
    for unknown in ("*", "../../etc/passwd", "", "0" * 32):
        with pytest.raises(NotFoundError):
            await outbox.eml(unknown)


async def test_newest_mail_comes_first_and_the_list_is_bounded(outbox):
    for i in range(5):
        await outbox.send(Mail(to="a@x.org", subject=f"s{i}", text="t"), idempotency_key=f"k{i}")
    assert [mail.subject for mail in await outbox.list(limit=2)] == ["s4", "s3"]
    assert (await outbox.latest("a@x.org")).subject == "s4"
    assert await outbox.latest("b@x.org") is None
