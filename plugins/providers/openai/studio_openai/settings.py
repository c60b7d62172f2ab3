"""The section `[openai]` of the configuration."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, SecretStr, StringConstraints, model_validator

from studio_openai.prices import Price, all_offered
from studio_openai.server import ServerSettings

OFFICIAL = "https://api.openai.com/v1"
HeaderText = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]+$")]
Size = Annotated[str, StringConstraints(pattern=r"^[1-9]\d{1,4}x[1-9]\d{1,4}$")]
Names = Annotated[list[str], Field(min_length=1)]


class OpenaiSettings(ServerSettings):
    """Which server is asked, with which key, for which models, and how long it may take."""

    api_key: SecretStr | None = Field(None, json_schema_extra={"env": "OPENAI_API_KEY"})
    organization: HeaderText | None = Field(None, description="sent as OpenAI-Organization")
    project: HeaderText | None = Field(None, description="sent as OpenAI-Project")
    base_url: str = Field(OFFICIAL, description="any server that speaks the protocol")
    chat_api: Literal["auto", "responses", "chat_completions"] = Field(
        "auto", description="auto: responses at OpenAI, chat_completions elsewhere"
    )
    background: bool = Field(
        default=False, description="chats are jobs at the vendor: kept there, polled, and told by webhook"
    )
    webhook_secret: SecretStr | None = Field(None, description="whsec_…, of the webhook set up at the vendor")
    chat_models: Names = Field(
        ["gpt-5.4-mini", "gpt-5.5", "gpt-6-luna", "gpt-6.2-sol"], description="first: default"
    )
    image_models: Names = Field(
        ["gpt-image-2", "gpt-image-1.5", "gpt-image-1-mini"], description="first: default"
    )
    voice_models: Names = Field(["gpt-4o-mini-tts", "tts-1", "tts-1-hd"], description="first: default")
    video_models: list[str] = Field(
        [], description="first: default; empty: no videos, as OpenAI makes none any more"
    )
    video_seconds: tuple[PositiveInt, ...] = Field(
        (4, 8, 12), description="the lengths that the server makes; empty: any whole second"
    )
    video_sizes: tuple[Size, ...] = Field(
        ("1280x720", "720x1280", "1792x1024", "1024x1792"),
        description="the sizes that the server makes; empty: any",
    )
    moderation_models: Names = Field(["omni-moderation-latest"], description="first: default")
    voices: Names = Field(
        ["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"],
        description="the voices that the server has",
    )
    prices: dict[str, Price] = Field({}, description="by model; a model without one has an unknown price")
    image_edit_form: Literal["json", "multipart"] = Field(
        "json", description="how pictures are sent to images/edits; other servers often know multipart only"
    )
    chat_deadline_s: float = Field(120.0, gt=0)
    image_deadline_s: float = Field(240.0, gt=0)
    voice_deadline_s: float = Field(60.0, gt=0)
    video_deadline_s: float = Field(180.0, gt=0)
    moderation_deadline_s: float = Field(8.0, gt=0)
    work_dir: Path = Field(Path(".studio/openai"), description="folder of the files that came back")
    keep_files_h: float = Field(24.0, gt=0, description="hours until such a file is removed")

    @property
    def missing(self) -> str | None:
        """What to set before this vendor can be asked; a private server needs no key."""
        return None if self.api_key or self.allow_private else "set STUDIO_OPENAI__API_KEY"

    @property
    def responses(self) -> bool:
        """Whether chats go to `/responses`, else to `/chat/completions`."""
        auto = "responses" if self.base_url == OFFICIAL else "chat_completions"
        return (auto if self.chat_api == "auto" else self.chat_api) == "responses"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        pictures, films = [*self.image_models, *self.moderation_models], self.video_models
        all_offered(self.prices, self.chat_models, self.voice_models, pictures, films)
        if self.background and not self.responses:
            raise ValueError("background: only the responses API has it")
        if self.webhook_secret and not self.webhook_secret.get_secret_value().startswith("whsec_"):
            raise ValueError("webhook_secret: begins with whsec_")
        return self
