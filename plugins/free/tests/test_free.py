from __future__ import annotations

from dataclasses import replace

import pytest

from studio import CostHold, CostSettlement
from studio_free.plugin import Plugin

pytestmark = pytest.mark.pure
HOLD = CostHold("job", 1, "project", "user", "local", None, 10)


@pytest.mark.parametrize("amount", [0, 10, 10**15, None])
async def test_hold_is_allowed_whatever_it_costs(amount):
    decision = await Plugin().hold_cost(None, replace(HOLD, amount_uusd=amount))
    assert decision.allowed is True


@pytest.mark.parametrize("kind", ["capture", "release"])
async def test_settlement_is_acknowledged(kind):
    assert await Plugin().settle_cost(None, CostSettlement("job", 1, kind, 10)) is True


@pytest.mark.http
async def test_this_plugin_answers_for_cost_only_where_it_is_named(server):
    dispatcher = server.studio.dispatcher
    assert server.studio.settings.owners.cost == "free"
    assert (await dispatcher.first("hold_cost", HOLD)).allowed is True
    assert await dispatcher.first("settle_cost", CostSettlement("job", 1, "capture", 10)) is True


@pytest.mark.http
async def test_without_an_owner_of_cost_nobody_says_yes(server, monkeypatch):
    monkeypatch.setattr(server.studio.dispatcher, "_owners", {"cost": "nobody"})
    assert await server.studio.dispatcher.first("hold_cost", HOLD) is None
