"""Models that come with the plugin. Their prices change: set them in the configuration, unknown ones stay unknown."""

from __future__ import annotations

from typing import Any

MODELS: dict[str, dict[str, Any]] = {
    "flux-schnell": {
        "capability": "image",
        "model": "black-forest-labs/flux-schnell",
        "fields": {"prompt": "prompt", "seed": "seed", "aspect_ratio": "aspect_ratio"},
        "fixed": {"num_outputs": 1, "output_format": "png"},
        "params": ["go_fast", "megapixels", "num_inference_steps"],
        "mime": "image/png",
    },
    "flux-kontext-pro": {
        "capability": "image_edit",
        "model": "black-forest-labs/flux-kontext-pro",
        "fields": {"prompt": "prompt", "image": "input_image", "seed": "seed"},
        "fixed": {"aspect_ratio": "match_input_image", "output_format": "png"},
        "params": ["prompt_upsampling"],
        "operations": ["variation"],
        "mime": "image/png",
    },
    "recraft-remove-background": {
        "capability": "image_edit",
        "model": "recraft-ai/recraft-remove-background",
        "fields": {"image": "image"},
        "operations": ["remove_background"],
        "mime": "image/png",
    },
    "recraft-crisp-upscale": {
        "capability": "image_edit",
        "model": "recraft-ai/recraft-crisp-upscale",
        "fields": {"image": "image"},
        "operations": ["upscale"],
        "mime": "image/png",
    },
    "seedance-1-lite": {
        "capability": "video",
        "model": "bytedance/seedance-1-lite",
        "fields": {"prompt": "prompt", "image": "image", "duration_s": "duration"},
        "fixed": {"fps": 24},
        "params": ["resolution", "camera_fixed", "seed"],
        "durations": list(range(2, 13)),
        "mime": "video/mp4",
    },
    "stable-audio-2.5": {
        "capability": "music",
        "model": "stability-ai/stable-audio-2.5",
        "fields": {"prompt": "prompt", "duration_s": "duration", "seed": "seed"},
        "params": ["steps", "cfg_scale"],
        "durations": list(range(1, 191)),
        "mime": "audio/mpeg",
    },
}
"""By the name that a request uses. Source: each model's page on replicate.com, API tab."""
