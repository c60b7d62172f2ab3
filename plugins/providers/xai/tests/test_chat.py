"""Chat: the answer, its cost in ticks, pieces, tools; the rest is tested with studio-provider-openai."""

from __future__ import annotations

import pytest

from studio import ChatTool, ModelSpec, ProviderRejectedError, price_of

pytestmark = pytest.mark.http
SCHEMA = {"type": "object", "properties": {"mood": {"type": "string"}}}
TOOL = ChatTool(name="weather", parameters={"type": "object", "properties": {}})


async def test_an_answer_costs_what_the_vendor_says(provider, fake, tools):
    done = await provider("chat", fake).submit(tools.ask())
    assert (done.state, done.data["text"]) == ("succeeded", "Rain on the harbour.")
    counts = {"input_tokens": 12, "output_tokens": 7, "cached_tokens": 4, "reasoning_tokens": 2}
    assert (done.data["usage"], done.usage) == (counts, counts | {"calls": 1})
    assert done.cost_uusd == 13  # 123,456 ticks are 12.3456 micro-USD
    assert fake.calls[0].headers["authorization"] == "Bearer xai-fake-0123456789abcdef"


async def test_a_stream_has_the_cost_at_its_end(provider, fake, tools):
    deltas = [delta async for delta in provider("chat", fake).stream(tools.ask(json_schema=SCHEMA))]
    assert "".join(delta.text for delta in deltas) == '{"mood": "calm"}'
    assert (deltas[-1].done.data["json"], deltas[-1].done.cost_uusd) == ({"mood": "calm"}, 13)


async def test_a_tool_is_called(provider, fake, tools):
    done = await provider("chat", fake).submit(tools.ask("tool", tools=(TOOL,)))
    assert done.data["tool_calls"] == [{"id": "call_1", "name": "weather", "arguments": {"place": "x"}}]


async def test_an_answer_without_ticks_costs_what_the_operator_says(provider, tools):
    said = {
        "choices": [{"message": {"content": "Hello"}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 3},
    }
    prices = {"grok-4.5": {"kind": "per_1m_tokens", "unit_uusd": 2_000_000, "output_uusd": 6_000_000}}
    vendor = tools.canned(200, said)
    async with vendor.serving():
        done = await provider("chat", vendor, prices=prices).submit(tools.ask())
    model = ModelSpec("grok-4.5", "per_1m_tokens", 2_000_000, 6_000_000)
    assert (done.cost_uusd, price_of(model, done.usage)) == (None, 20 + 18)


@pytest.mark.parametrize("ticks", [-1, -123_456, 10**20, "free"])
async def test_a_cost_that_cannot_be_is_not_believed(provider, tools, ticks):
    usage = {"prompt_tokens": 10, "completion_tokens": 3, "cost_in_usd_ticks": ticks}
    vendor = tools.canned(200, {"choices": [{"message": {"content": "Hello"}}], "usage": usage})
    async with vendor.serving():
        done = await provider("chat", vendor).submit(tools.ask())
    assert (done.data["text"], done.cost_uusd) == ("Hello", None)


async def test_the_caller_sets_no_more_than_is_named(provider, fake, tools):
    for name in ("search_parameters", "base_url", "n", "user"):
        with pytest.raises(ProviderRejectedError):
            await provider("chat", fake).submit(tools.ask(params={name: 1}))
    assert fake.calls == []
