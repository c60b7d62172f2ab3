"""The local pack keeps what every provider promises; it calls nobody, so nothing can go wrong on the way."""

from __future__ import annotations

from typing import ClassVar

import pytest

from studio import ImageRequest, ScoreRequest
from studio.testing.providers import ProviderCase, ProviderConformance
from studio_local.plugin import Plugin
from studio_local.settings import LocalSettings

pytestmark = pytest.mark.child
OWN = "its result is a file of its own, written before it says so"


class LocalCase(ProviderCase):
    plugin = Plugin

    def settings(self, vendor):
        folders = {name: self.folder / name for name in ("work_dir", "storage_dir", "outbox_dir")}
        return LocalSettings(processes=1, **folders)


class ImageCase(LocalCase):
    capability = "image"
    not_applicable: ClassVar = {
        "fails": "what it can be asked, it can draw",
        "success_without_a_result_fails": OWN,
    }

    def request(self, outcome):
        width = 1 if outcome == "refused" else 96
        return ImageRequest(job_id="-", prompt="A lighthouse", width=width, height=64)


class ScoreCase(LocalCase):
    capability = "score"
    not_applicable: ClassVar = {"success_without_a_result_fails": OWN}

    def request(self, outcome):
        image = self.folder / f"{outcome}.png"
        if outcome == "failed":
            image.write_bytes(b"no picture")
        elif outcome != "refused":
            from PIL import Image

            Image.new("RGB", (64, 64), (60, 90, 140)).save(image)
        return ScoreRequest(job_id="-", image=image)


class TestImage(ProviderConformance):
    case = ImageCase()


class TestScore(ProviderConformance):
    case = ScoreCase()
