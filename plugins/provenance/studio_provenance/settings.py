"""The section `[provenance]` of the configuration."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ProvenanceSettings(BaseModel):
    """Whose signature files carry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    certificate: Path | None = Field(None, description="PEM: the signer's certificate, then its issuers")
    private_key: Path | None = Field(None, description="PEM, PKCS#8, without a passphrase")
    algorithm: Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"] = "es256"
    generator: str = Field("Studio", min_length=1, max_length=100)
    algorithmic: list[str] = Field(
        ["local"], description="providers that draw by rule, without a trained model"
    )
    required: bool = Field(default=False, description="what cannot be signed is not shown")
    deadline_s: float = Field(8.0, gt=0, le=9.5, description="seconds for one file; the chain gives ten")
    memory_mb: int = Field(1024, ge=256, description="address space of the process that signs")

    @property
    def missing(self) -> str | None:
        """What to set before anything can be signed."""
        for name, path in (("CERTIFICATE", self.certificate), ("PRIVATE_KEY", self.private_key)):
            if path is None:
                return f"set STUDIO_PROVENANCE__{name}"
            if not path.is_file():
                return f"STUDIO_PROVENANCE__{name} names {path}, which is no file"
        return None
