"""Drives OpenAI's SDK against xAI's address, as xAI's documentation shows: `<base url> <key>`.

xAI's own SDK speaks gRPC and cannot be put before an HTTP fake. Prints what the SDK made of each answer.
"""

import json
import sys
from typing import Literal

import openai
from pydantic import BaseModel

url, key = sys.argv[1:3]
client = openai.OpenAI(base_url=url, api_key=key, max_retries=0)
told = {}


class Mood(BaseModel):
    """How a scene feels."""

    mood: Literal["calm", "tense"]


WEATHER = {
    "name": "weather",
    "description": "The weather",
    "parameters": {"type": "object", "properties": {}},
}
CHAT = {"model": "grok-4.5", "max_completion_tokens": 4096}


def said(text):
    return [{"role": "user", "content": text}]


done = client.chat.completions.create(messages=said("hi"), temperature=0.5, reasoning_effort="low", **CHAT)
told["chat"] = [done.choices[0].message.content, done.choices[0].finish_reason]
told["ticks"] = done.usage.model_extra["cost_in_usd_ticks"]
parsed = client.chat.completions.parse(messages=said("json"), response_format=Mood, **CHAT)
told["json"] = parsed.choices[0].message.parsed.model_dump()
used = client.chat.completions.create(
    messages=said("tool"), tools=[{"type": "function", "function": WEATHER}], **CHAT
)
call = used.choices[0].message.tool_calls[0]
told["tool"] = [call.id, call.function.name, json.loads(call.function.arguments)]
chunks = list(
    client.chat.completions.create(
        messages=said("hi"), stream=True, stream_options={"include_usage": True}, **CHAT
    )
)
told["stream"] = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
told["stream_ticks"] = chunks[-1].usage.model_extra["cost_in_usd_ticks"]
drawn = client.images.generate(
    model="grok-imagine-image",
    prompt="A harbour",
    n=1,
    response_format="url",
    extra_body={"aspect_ratio": "16:9"},
)
told["image"] = drawn.data[0].url
told["errors"] = []
for wrong in ("xai-wrong", ""):
    try:
        client.with_options(api_key=wrong).chat.completions.create(messages=said("hi"), **CHAT)
    except openai.APIStatusError as error:
        told["errors"].append([type(error).__name__, error.status_code])
    except openai.OpenAIError as error:
        told["errors"].append([type(error).__name__, None])
print(json.dumps(told))
