"""The section `[xai]` of the configuration."""

from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from studio_openai.api import Price, ServerSettings, all_offered

Names = Annotated[list[str], Field(min_length=1)]


class XaiSettings(ServerSettings):
    """With which key xAI is asked, for which models, and how long it may take."""

    api_key: SecretStr | None = Field(None, json_schema_extra={"env": "XAI_API_KEY"})
    base_url: str = Field("https://api.x.ai/v1", description="another address of the same API")
    chat_models: Names = Field(["grok-4.5", "grok-4.3"], description="first: default")
    image_models: Names = Field(
        ["grok-imagine-image", "grok-imagine-image-quality"], description="first: default"
    )
    video_models: Names = Field(
        ["grok-imagine-video", "grok-imagine-video-1.5"], description="first: default"
    )
    prices: dict[str, Price] = Field(
        {}, description="by model, for answers without a cost, and for estimates"
    )
    file_hosts: Names = Field(["*.x.ai"], description="where pictures and videos may lie")
    chat_deadline_s: float = Field(120.0, gt=0)
    image_deadline_s: float = Field(120.0, gt=0)
    video_deadline_s: float = Field(60.0, gt=0)

    @property
    def missing(self) -> str | None:
        """What to set before this vendor can be asked."""
        return None if self.api_key else "set STUDIO_XAI__API_KEY"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        all_offered(self.prices, self.chat_models, self.image_models, self.video_models)
        return self
