"""Models that come with the plugin. Their prices change: set them in the configuration, unknown ones stay unknown."""

from __future__ import annotations

from typing import Any

MODELS: dict[str, dict[str, Any]] = {
    "flux-schnell": {
        "capability": "image",
        "endpoint": "fal-ai/flux/schnell",
        "fields": {"prompt": "prompt", "seed": "seed", "size": "image_size"},
        "fixed": {"num_images": 1, "output_format": "png"},
        "params": ["num_inference_steps"],
        "mime": "image/png",
    },
    "flux-dev": {
        "capability": "image",
        "endpoint": "fal-ai/flux/dev",
        "fields": {"prompt": "prompt", "seed": "seed", "size": "image_size"},
        "fixed": {"num_images": 1, "output_format": "png"},
        "params": ["guidance_scale", "num_inference_steps"],
        "mime": "image/png",
    },
    "flux-kontext-pro": {
        "capability": "image_edit",
        "endpoint": "fal-ai/flux-pro/kontext",
        "fields": {"prompt": "prompt", "image": "image_url", "seed": "seed"},
        "fixed": {"num_images": 1, "output_format": "png"},
        "params": ["guidance_scale"],
        "operations": ["variation"],
        "mime": "image/png",
    },
    "birefnet": {
        "capability": "image_edit",
        "endpoint": "fal-ai/birefnet/v2",
        "fields": {"image": "image_url"},
        "operations": ["remove_background"],
        "mime": "image/png",
    },
    "seedance-1-lite": {
        "capability": "video",
        "endpoint": "fal-ai/bytedance/seedance/v1/lite/image-to-video",
        "fields": {"prompt": "prompt", "image": "image_url", "duration_text": "duration"},
        "params": ["camera_fixed", "resolution", "seed"],
        "durations": list(range(2, 13)),
        "mime": "video/mp4",
    },
    "stable-audio": {
        "capability": "music",
        "endpoint": "fal-ai/stable-audio",
        "fields": {"prompt": "prompt", "duration_s": "seconds_total"},
        "params": ["steps"],
        "durations": list(range(1, 48)),
        "mime": "audio/wav",
    },
}
"""By the name that a request uses. Source: each model's page on fal.ai, API tab."""
