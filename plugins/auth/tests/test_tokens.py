from __future__ import annotations

import base64
import hashlib
import hmac
import json
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from pydantic import ValidationError

from studio import ConfigError
from studio.testing.kit import Studio
from studio_auth.settings import AuthSettings
from studio_auth.tokens import LEEWAY_S, MAX_TOKEN_BYTES, Claims, Tokens

pytestmark = pytest.mark.pure
SECRET = "a-key-of-this-test-" + "k" * 32
NOW_S = 1_800_000_000
TOKENS = Tokens(AuthSettings(secret=SECRET), clock=lambda: NOW_S * 1000)
GOOD_HEADER = {"alg": "HS256", "typ": "at+jwt"}
GOOD_CLAIMS = {
    "iss": "studio",
    "aud": "studio-api",
    "sub": "USER",
    "sid": "SESSION",
    "jti": "1",
    "iat": NOW_S,
    "exp": NOW_S + 900,
}


def part(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def signed(header: object = GOOD_HEADER, claims: object = GOOD_CLAIMS, secret: str = SECRET) -> str:
    """Sign whatever it is: what an attacker can do who has a key, and what nobody else can."""
    body = f"{part(header)}.{part(claims)}"
    return f"{body}.{part(hmac.digest(secret.encode(), body.encode(), 'sha256'))}"


def test_good_token_is_read():
    assert TOKENS.read(TOKENS.issue("USER", "SESSION")) == Claims("USER", "SESSION")


def test_token_made_by_hand_is_read_so_that_the_attacks_below_fail_for_their_own_reason():
    assert TOKENS.read(signed()) == Claims("USER", "SESSION")


def in_our_words(claims: object = GOOD_CLAIMS, secret: str = SECRET) -> str:
    """Sign claims under the very header of our own tokens, which is read in a shorter way."""
    header = TOKENS._head[:-1]
    body = f"{header}.{part(claims)}"
    return f"{body}.{part(hmac.digest(secret.encode(), body.encode(), 'sha256'))}"


def test_own_header_is_read_in_a_shorter_way_with_the_same_answer(monkeypatch):
    monkeypatch.setattr(TOKENS, "_anybodys", None)
    assert TOKENS.read(in_our_words()) == Claims("USER", "SESSION")
    assert TOKENS.read(TOKENS.issue("USER", "SESSION")) == Claims("USER", "SESSION")


@pytest.mark.parametrize(
    "token",
    [
        lambda: in_our_words(secret="x" * 51),
        lambda: in_our_words(secret=""),
        lambda: in_our_words() + "=",
        lambda: in_our_words()[:-1],
        lambda: in_our_words().rpartition(".")[0] + ".",
        lambda: in_our_words().rpartition(".")[0],
        lambda: f"{in_our_words()}.",
        lambda: in_our_words([GOOD_CLAIMS]),
        lambda: in_our_words(None),
        lambda: in_our_words(b"no json"),
        lambda: in_our_words(b"\xff" * 30),
        lambda: in_our_words(b"[" * 2000),
        lambda: in_our_words(b""),
        *(lambda name=name: in_our_words({k: v for k, v in GOOD_CLAIMS.items() if k != name}) for name in GOOD_CLAIMS),
        *(lambda name=name: in_our_words(GOOD_CLAIMS | {name: "other"}) for name in ("iss", "aud", "exp", "iat")),
        lambda: in_our_words(GOOD_CLAIMS | {"exp": NOW_S - 31}),
        lambda: in_our_words(GOOD_CLAIMS | {"sub": {"$ne": None}}),
        lambda: in_our_words(GOOD_CLAIMS | {"sid": 5}),
    ],
)  # fmt: skip
def test_bad_token_under_our_own_header_is_refused(token):
    assert TOKENS.read(token()) is None


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_unsigned_token_is_refused(alg, signature):
    assert TOKENS.read(f"{part(GOOD_HEADER | {'alg': alg})}.{part(GOOD_CLAIMS)}.{signature}") is None


def test_good_signature_under_alg_none_is_refused():
    assert TOKENS.read(signed(GOOD_HEADER | {"alg": "none"})) is None


def test_token_of_another_key_is_refused():
    assert TOKENS.read(signed(secret="x" * 51)) is None


@pytest.mark.parametrize("alg", ["HS384", "HS512"])
def test_other_hmac_algorithm_is_refused(alg):
    digest = {"HS384": hashlib.sha384, "HS512": hashlib.sha512}[alg]
    body = f"{part(GOOD_HEADER | {'alg': alg})}.{part(GOOD_CLAIMS)}"
    assert TOKENS.read(f"{body}.{part(hmac.new(SECRET.encode(), body.encode(), digest).digest())}") is None


def test_rs256_token_is_refused():
    key = RSAKey.generate_key(2048)
    token = jwt.encode(GOOD_HEADER | {"alg": "RS256"}, GOOD_CLAIMS, key, algorithms=["RS256"])
    public = key.as_pem(private=False).decode()
    assert TOKENS.read(token) is None
    assert TOKENS.read(signed(secret=public)) is None, "a public key is no secret"


@pytest.mark.parametrize(
    "more",
    [
        {"jku": "https://evil.example/keys.json"},
        {"jwk": {"kty": "oct", "k": part(b"x" * 51)}},
        {"kid": "../../dev/null"},
        {"kid": "' OR 1=1 --"},
        {"x5u": "https://evil.example/cert.pem"},
        {"x5c": ["AAAA"]},
    ],
    ids=lambda more: next(iter(more)),
)
def test_key_named_in_the_header_is_not_used(more):
    forged = {key: signed(GOOD_HEADER | more, secret=key) for key in ("x" * 51, "", "\0")}
    assert [TOKENS.read(token) for token in forged.values()] == [None, None, None]


def test_unknown_critical_header_is_refused():
    assert TOKENS.read(signed(GOOD_HEADER | {"crit": ["x"], "x": 1})) is None
    assert TOKENS.read(signed(GOOD_HEADER | {"crit": ["b64"], "b64": False})) is None


@pytest.mark.parametrize("typ", ["JWT", "rt+jwt", "AT+JWT", "", None, 1, ["at+jwt"]])
def test_other_type_of_token_is_refused(typ):
    assert TOKENS.read(signed(GOOD_HEADER | {"typ": typ})) is None


def test_token_without_a_type_is_refused():
    assert TOKENS.read(signed({"alg": "HS256"})) is None


@pytest.mark.parametrize("claim", sorted(GOOD_CLAIMS))
def test_missing_claim_is_refused(claim):
    assert TOKENS.read(signed(claims={k: v for k, v in GOOD_CLAIMS.items() if k != claim})) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"aud": "another-api"},
        {"aud": ["another-api"]},
        {"aud": ""},
        {"iss": "somebody"},
        {"iss": None},
        {"exp": NOW_S - LEEWAY_S - 1},
        {"exp": str(NOW_S + 900)},
        {"exp": None},
        {"exp": True},
        {"nbf": NOW_S + LEEWAY_S + 60},
        {"iat": NOW_S + 86_400},
        {"sub": {"$ne": None}},
        {"sub": ["USER"]},
        {"sid": {"$gt": ""}},
        {"sid": 5},
    ],
    ids=str,
)
def test_wrong_claim_is_refused(wrong):
    assert TOKENS.read(signed(claims=GOOD_CLAIMS | wrong)) is None


def test_expired_token_is_accepted_within_the_leeway_only():
    assert TOKENS.read(signed(claims=GOOD_CLAIMS | {"exp": NOW_S - LEEWAY_S + 1}))
    assert TOKENS.read(signed(claims=GOOD_CLAIMS | {"exp": NOW_S - LEEWAY_S - 1})) is None


def test_token_expires_by_the_clock():
    now = [NOW_S * 1000]
    tokens = Tokens(AuthSettings(secret=SECRET, access_ttl_s=30), clock=lambda: now[0])
    token = tokens.issue("USER", "SESSION")
    assert tokens.read(token)
    now[0] += (30 + LEEWAY_S + 1) * 1000
    assert tokens.read(token) is None


def test_huge_token_is_refused_even_with_a_good_signature():
    big = signed(claims=GOOD_CLAIMS | {"pad": "x" * 7000})
    assert len(big) > MAX_TOKEN_BYTES
    assert TOKENS.read(big) is None


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 2900,
        b'{"a":' * 570,
        b"\xff\xfe",
        b"[]",
        b"5",
        b"null",
        b"{}",
        b'{"alg":1}',
        b'{"alg":["HS256"]}',
    ],
    ids=lambda header: repr(header[:12]),
)
def test_header_that_is_no_header_is_refused_without_an_error(header):
    assert TOKENS.read(signed(header)) is None


@pytest.mark.parametrize("claims", [b"[]", b"5", b"not json", b"[" * 2900], ids=lambda c: repr(c[:12]))
def test_signed_claims_that_are_no_claims_are_refused_without_an_error(claims):
    assert TOKENS.read(signed(claims=claims)) is None


@pytest.mark.parametrize("text", ["", ".", "..", "a.b", "a.b.c.d.e", "é.é.é", "a.b.ü", " ", "\0.\0.\0"])
def test_text_that_is_no_token_is_refused_without_an_error(text):
    assert TOKENS.read(text) is None


def test_every_changed_character_breaks_the_token():
    good = TOKENS.issue("USER", "SESSION")
    for at in range(len(good)):
        other = "A" if good[at] != "A" else "B"
        assert TOKENS.read(good[:at] + other + good[at + 1 :]) is None


def test_two_signers_of_one_key_disagree_about_issuer_and_audience():
    other = Tokens(AuthSettings(secret=SECRET, audience="elsewhere"))
    assert TOKENS.read(other.issue("USER", "SESSION")) is None


def test_refresh_token_names_its_session():
    token = TOKENS.issue_refresh("SESSION")
    assert TOKENS.session_of(token) == "SESSION"
    assert token != TOKENS.issue_refresh("SESSION")


def test_next_refresh_token_is_always_the_same_and_no_other_leads_to_it():
    first = TOKENS.issue_refresh("SESSION")
    second = TOKENS.next_refresh("SESSION", first)
    assert second == TOKENS.next_refresh("SESSION", first) != first
    assert TOKENS.session_of(second) == "SESSION"
    assert TOKENS.next_refresh("SESSION", TOKENS.issue_refresh("SESSION")) != second
    other = Tokens(AuthSettings(secret="x" * 51))
    assert other.next_refresh("SESSION", first) != second, "it takes our key to foresee it"


@pytest.mark.parametrize("forged", ["SESSION.secret.seal", "SESSION", "", "..", "SESSION.é.ü", "a.b.c.d"])
def test_refresh_token_that_we_did_not_make_names_no_session(forged):
    assert TOKENS.session_of(forged) is None


def test_refresh_token_moved_to_another_session_is_refused():
    _, secret, seal = TOKENS.issue_refresh("MINE").split(".")
    assert TOKENS.session_of(f"THEIRS.{secret}.{seal}") is None


def test_access_and_refresh_tokens_do_not_stand_in_for_each_other():
    assert TOKENS.read(TOKENS.issue_refresh("SESSION")) is None
    assert TOKENS.session_of(TOKENS.issue("USER", "SESSION")) is None


def test_each_use_of_the_secret_has_its_own_key():
    assert len({TOKENS.pepper, TOKENS._refresh_key, SECRET.encode()}) == 3


def test_short_secret_is_refused_with_what_to_do():
    with pytest.raises(ValidationError, match="openssl rand"):
        AuthSettings(secret="short")


def test_secret_is_not_shown_by_the_settings():
    assert SECRET not in repr(AuthSettings(secret=SECRET))


def test_production_without_a_secret_is_refused_when_the_configuration_is_read():
    with pytest.raises(ValidationError, match="production needs its own key, make one"):
        AuthSettings.model_validate({}, context={"environment": "production"})
    assert AuthSettings.model_validate({}, context={"environment": "preview"}).secret is None


@pytest.mark.parametrize(
    ("secret", "told"), [(None, "is missing"), ("short", "must have at least 32 bytes")], ids=str
)
def test_production_does_not_start_without_a_good_secret_and_says_so(tmp_path, secret, told):
    environ = {"STUDIO_ENV": "production", "STUDIO_PLUGINS__ENABLED": "auth,projects,mailer"}
    environ |= {"STUDIO_DATABASE__URL": "mongodb://127.0.0.1:9", "STUDIO_CONFIG_DIR": str(tmp_path)}
    environ |= {"STUDIO_AUTH__SECRET": secret} if secret else {}
    with pytest.raises(ConfigError) as caught:
        Studio(environ=environ)
    (line,) = [line for line in caught.value.problems if "secret" in line]
    assert line.startswith("auth.secret [STUDIO_AUTH__SECRET]")
    assert told in line
    assert "short" not in line


def test_key_of_an_installation_is_made_once_and_private(tmp_path):
    settings = AuthSettings(key_file=tmp_path / "deep" / "auth.key")
    first, second = Tokens(settings), Tokens(settings)
    assert second.read(first.issue("USER", "SESSION")) == Claims("USER", "SESSION")
    assert stat.S_IMODE(settings.key_file.stat().st_mode) == 0o600
    assert [path.name for path in settings.key_file.parent.iterdir()] == ["auth.key"]


def test_starts_at_once_agree_on_one_key(tmp_path):
    settings = AuthSettings(key_file=tmp_path / "auth.key")
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Tokens(settings).pepper, range(16)))
    assert len(set(made)) == 1


def test_key_file_that_is_too_short_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "auth.key").write_bytes(b"short")
    with pytest.raises(ConfigError, match="delete it"):
        Tokens(AuthSettings(key_file=tmp_path / "auth.key"))
