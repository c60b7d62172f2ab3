"""What a manifest says, and what is missing."""

from __future__ import annotations

import pytest

from studio_provenance.service import manifest_of, source_of
from studio_provenance.settings import ProvenanceSettings

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("asset", "source"),
    [
        ({"role": "panel", "provider": "fal"}, "trainedAlgorithmicMedia"),
        ({"role": "panel", "provider": "local"}, "algorithmicMedia"),
        ({"role": "animatic", "provider": "local"}, "compositeSynthetic"),
    ],
)
def test_source_is_the_iptc_term_for_what_it_is_made_of(asset, source):
    assert source_of(asset, ProvenanceSettings()) == source


def test_manifest_names_generator_provider_and_model():
    asset = {"_id": "a-1-0", "role": "clip", "provider": "vidu", "model": "q2"}
    made = manifest_of(asset, ProvenanceSettings(generator="Acme Films"))
    assert made["claim_generator_info"] == [{"name": "Acme Films"}]
    (action,) = made["assertions"][0]["data"]["actions"]
    assert action["softwareAgent"] == {"name": "vidu q2"}


def test_what_is_missing_is_named(tmp_path):
    assert ProvenanceSettings().missing == "set STUDIO_PROVENANCE__CERTIFICATE"
    there = tmp_path / "chain.pem"
    there.write_text("x")
    assert ProvenanceSettings(certificate=there).missing == "set STUDIO_PROVENANCE__PRIVATE_KEY"
    gone = ProvenanceSettings(certificate=there, private_key=tmp_path / "gone.pem")
    assert "gone.pem, which is no file" in gone.missing
    assert ProvenanceSettings(certificate=there, private_key=there).missing is None
