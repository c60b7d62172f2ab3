"""Drives the C2PA library: `c2pa_sdk.py keys <folder>` or `c2pa_sdk.py read <file> <type> …`.

`keys` makes a certificate chain as C2PA asks of a signer: a leaf with the extended key usage e-mail protection, issued
by a root of its own. `read` prints what the library says of each file.
"""

import datetime as dt
import json
import sys
from pathlib import Path

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = dt.datetime.now(dt.UTC)
USES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def named(common):
    parts = (
        (NameOID.COUNTRY_NAME, "DE"),
        (NameOID.ORGANIZATION_NAME, "Studio"),
        (NameOID.COMMON_NAME, common),
    )
    return x509.Name([x509.NameAttribute(*part) for part in parts])


def certificate(common, key, issuer, issuer_key, uses):
    made = x509.CertificateBuilder().subject_name(named(common)).issuer_name(named(issuer))
    made = made.public_key(key.public_key()).serial_number(x509.random_serial_number())
    made = made.not_valid_before(NOW - dt.timedelta(days=1))
    made = made.not_valid_after(NOW + dt.timedelta(days=30))
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    subject = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    made = made.add_extension(
        x509.BasicConstraints(ca="key_cert_sign" in uses, path_length=None), critical=True
    )
    made = made.add_extension(x509.KeyUsage(**{use: use in uses for use in USES}), critical=True)
    made = made.add_extension(subject, critical=False).add_extension(authority, critical=False)
    if "digital_signature" in uses:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        made = made.add_extension(usage, critical=False)
    signed = made.sign(issuer_key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def make_keys(folder):
    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    chain = certificate("Signer", leaf, "Root", root, {"digital_signature"})
    chain += certificate("Root", root, "Root", root, {"key_cert_sign", "crl_sign"})
    (folder / "chain.pem").write_text(chain)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    key = leaf.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (folder / "key.pem").write_bytes(key)


def read(path, mime):
    with path.open("rb") as file:
        reader = c2pa.Reader.try_create(mime, file)
        if reader is None:
            return None
        told = json.loads(reader.json())
        return {
            "state": reader.get_validation_state(),
            "manifest": told["manifests"][told["active_manifest"]],
        }


if sys.argv[1] == "keys":
    make_keys(Path(sys.argv[2]))
else:
    pairs = zip(sys.argv[2::2], sys.argv[3::2], strict=True)
    print(json.dumps([read(Path(path), mime) for path, mime in pairs]))
