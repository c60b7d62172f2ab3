"""Drives OpenAI's own SDK: `openai_sdk.py <base url> <key> <folder of pictures> <webhook as JSON>`.

Prints what the SDK made of each answer. The calls are written as its documentation writes them, so that the SDK
itself decides what goes on the wire.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Literal

import openai
from pydantic import BaseModel

url, key, folder, webhook = sys.argv[1], sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4])
client = openai.OpenAI(base_url=url, api_key=key, max_retries=0, organization="org-1", project="proj_1")
told = {}


class Mood(BaseModel):
    """How a scene feels."""

    mood: Literal["calm", "tense"]


WEATHER = {
    "name": "weather",
    "description": "The weather",
    "parameters": {"type": "object", "properties": {}},
}
CHAT = {"model": "gpt-5.4-mini", "max_completion_tokens": 4096}
ASK = {"model": "gpt-5.4-mini", "max_output_tokens": 4096, "store": False}


def said(text):
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]


# ---------------------------------------------------------------- chat completions

done = client.chat.completions.create(messages=said("hi"), temperature=0.5, reasoning_effort="low", **CHAT)
told["chat"] = [done.id, done.choices[0].message.content, done.choices[0].finish_reason]
told["chat_usage"] = done.usage.model_dump()
parsed = client.chat.completions.parse(messages=said("json"), response_format=Mood, **CHAT)
told["chat_json"] = parsed.choices[0].message.parsed.model_dump()
used = client.chat.completions.create(
    messages=said("tool"), tools=[{"type": "function", "function": WEATHER}], **CHAT
)
call = used.choices[0].message.tool_calls[0]
told["chat_tool"] = [call.id, call.function.name, json.loads(call.function.arguments)]
use = {"id": call.id, "type": "function", "function": {"name": "weather", "arguments": '{"place":"harbour"}'}}
told["chat_after_tool"] = (
    client.chat.completions.create(
        messages=[
            {"role": "user", "content": "tool"},
            {"role": "assistant", "content": "", "tool_calls": [use]},
            {"role": "tool", "tool_call_id": call.id, "content": "rain"},
        ],
        **CHAT,
    )
    .choices[0]
    .message.content
)
chunks = list(
    client.chat.completions.create(
        messages=said("hi"), stream=True, stream_options={"include_usage": True}, **CHAT
    )
)
told["chat_stream"] = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
told["chat_stream_usage"] = chunks[-1].usage.model_dump()

# ---------------------------------------------------------------- responses

done = client.responses.create(
    input=said("hi"), reasoning={"effort": "low"}, text={"verbosity": "low"}, temperature=0.5, **ASK
)
told["response"] = [done.id, done.output_text, done.status]
told["response_usage"] = done.usage.model_dump()
parsed = client.responses.parse(input=said("json"), text_format=Mood, **ASK)
told["response_json"] = parsed.output_parsed.model_dump()
used = client.responses.create(
    input=said("tool"), tools=[{"type": "function", "strict": False, **WEATHER}], **ASK
)
call = next(item for item in used.output if item.type == "function_call")
told["response_tool"] = [call.call_id, call.name, json.loads(call.arguments)]
told["response_after_tool"] = client.responses.create(
    input=[
        {"role": "user", "content": "tool"},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"place":"harbour"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
    ],
    **ASK,
).output_text
events = list(client.responses.create(input=said("hi"), stream=True, **ASK))
told["response_events"] = [type(event).__name__ for event in events]
told["response_stream"] = "".join(e.delta for e in events if e.type == "response.output_text.delta")
told["response_numbers"] = [event.sequence_number for event in events]
started = client.responses.create(input=said("hi"), background=True, **ASK | {"store": True})
states = [started.status] + [client.responses.retrieve(started.id).status for _ in range(2)]
other = client.responses.create(input=said("hi"), background=True, **ASK | {"store": True})
told["background"] = [*states, client.responses.cancel(other.id).status]

# ---------------------------------------------------------------- pictures and voices

drawn = client.images.generate(
    model="gpt-image-2", prompt="A harbour", n=1, size="1280x720", quality="low", output_format="png"
)
told["image"] = [drawn.data[0].b64_json[:11], drawn.size, drawn.usage.output_tokens]
common = {"model": "gpt-image-2", "prompt": "A boat", "n": 1, "size": "64x32"}
edited = client.images.edit(image=folder / "a.png", mask=folder / "mask.png", **common)
told["edit"] = edited.size
two = client.images.edit(image=[folder / "a.png", folder / "b.png"], quality="high", **common)
told["edit_two"] = two.size
spoken = client.audio.speech.create(
    model="tts-1", input="It rains.", voice="coral", response_format="wav", speed=2.0
)
told["speech"] = len(spoken.content)

# ---------------------------------------------------------------- videos

made = client.videos.create(
    model="sora-2", prompt="Rain. The camera slowly pushes in.", seconds="8", size="1280x720",
    input_reference=("still.png", (folder / "a.png").read_bytes(), "image/png"),
)  # fmt: skip
told["video"] = [made.status, *(client.videos.retrieve(made.id).status for _ in range(2))]
told["video_content"] = len(client.videos.download_content(made.id).content)

# ---------------------------------------------------------------- moderation

told["moderation"] = []
picture = base64.b64encode((folder / "forbidden.png").read_bytes()).decode()
for part in (
    {"type": "text", "text": "A calm harbour."},
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
):
    judged = client.moderations.create(model="omni-moderation-latest", input=[part])
    found = judged.results[0]
    told["moderation"].append([found.flagged, found.categories.violence, found.category_scores.violence])
    told["moderation_kinds"] = found.category_applied_input_types.violence

# ---------------------------------------------------------------- errors and webhooks

told["errors"] = []
for prompt in ("forbidden", "quota"):
    try:
        client.images.generate(model="gpt-image-2", prompt=prompt, n=1, size="64x64")
    except openai.APIStatusError as error:
        told["errors"].append([type(error).__name__, error.status_code, error.code, error.type])
event = client.webhooks.unwrap(webhook["body"], webhook["headers"], secret=webhook["secret"])
told["webhook"] = [type(event).__name__, event.type, event.data.id]
try:
    client.webhooks.unwrap(webhook["body"] + " ", webhook["headers"], secret=webhook["secret"])
except openai.InvalidWebhookSignatureError:
    told["forged"] = "refused"
print(json.dumps(told))
