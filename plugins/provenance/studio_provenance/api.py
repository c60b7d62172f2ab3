"""The capability "provenance", which this plugin asks for and any provider may offer.

Declare `ProviderSpec("…", "provenance", "package.module:Class", idempotent_submit=True)`. The class is a `Generator`:
its `submit` takes a `ProvenanceRequest` and answers with what `Signed` reads in `data`, and with the signed file in
`files` unless the file was left as it is.
"""

from pathlib import Path
from typing import Any, Literal

from studio import GenerationRequest, ProviderModel

CAPABILITY = "provenance"


class ProvenanceRequest(GenerationRequest):
    """Sign `manifest` (a C2PA manifest definition) into a copy of `file`."""

    file: Path
    mime: str
    manifest: dict[str, Any]


class Signed(ProviderModel):
    """What `Generation.data` says: the label of the manifest that the file has now, and whose it is."""

    c2pa: Literal["signed", "vendor"]
    manifest: str
