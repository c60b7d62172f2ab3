"""The shapes on the wire: voices, and how characters sound."""

from typing import Annotated

from pydantic import Field

from studio import Model
from studio_asset_gen.models import Id, Language, Name, Pitch, Rate


class VoiceQuery(Model):
    """Voices of one provider (the preferred one without a name), of one language."""

    provider: Name | None = None
    language: Language | None = None


class VoicePublic(Model):
    """One voice; `id` goes into a voice setting."""

    id: str
    name: str
    language: str = ""
    gender: str = ""
    tags: list[str] = Field(default_factory=list)
    provider: str


class VoiceList(Model):
    """The voices that can be had now."""

    items: list[VoicePublic]


class VoiceChoice(Model):
    """A voice of a provider."""

    provider: Name
    voice: Name


class VoiceSettingUpdate(Model):
    """The voice of a character; a null `characterId` is the narrator. Unnamed fields stay."""

    story_id: Id
    character_id: Id | None = None
    provider: Name | None = None
    voice: Name | None = None
    language: Language | None = None
    rate: Rate | None = None
    pitch: Pitch | None = None
    fallback: Annotated[list[VoiceChoice] | None, Field(max_length=5)] = None


class VoiceSettingPublic(Model):
    """How a character sounds; `assigned` false means that the first voice job will choose."""

    id: str
    project_id: str
    character_id: str | None = None
    name: str = ""
    assigned: bool = True
    auto: bool = True
    provider: str | None = None
    voice: str | None = None
    language: str | None = None
    rate: int = 165
    pitch: int = 50
    fallback: list[VoiceChoice] = Field(default_factory=list)


class VoiceSettingList(Model):
    """One row per character that is known, and the narrator's."""

    items: list[VoiceSettingPublic]


class PreviewRequest(Model):
    """What the preview says."""

    text: Annotated[str, Field(min_length=1, max_length=300)] = "This is how I sound when the light goes out."
