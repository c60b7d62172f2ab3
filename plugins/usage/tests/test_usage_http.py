"""Money through the HTTP interface of a whole Studio that `usage` keeps the accounts of."""

from __future__ import annotations

import asyncio

import pytest

from studio import CostHold, CostSettlement, DatabaseUnavailableError, new_id
from studio.testing.client import serving

pytestmark = pytest.mark.http
PROJECTS = "/api/workbench/projects"


@pytest.fixture(scope="module")
async def paying(tmp_path_factory):
    more = {"STUDIO_OWNERS__COST": "usage", "STUDIO_AUTH__ADMINS": '["admin@example.org"]'}
    async with serving(tmp_path_factory.mktemp("usage"), **more) as client:
        yield client


@pytest.fixture
async def client(paying):
    return await paying.sign_in(f"{new_id().lower()}@example.org")


@pytest.fixture
async def admin(paying):
    return await paying.sign_in("admin@example.org")


@pytest.fixture
async def project(client):
    return (await client.post(PROJECTS, {"name": "Rain"})).json["id"]


@pytest.fixture
def spend(paying, client, project):
    """Hold and, with `charged`, capture, as the job machine does."""

    async def spend(amount, charged="same", job=None, **more):
        job = job or new_id()
        hold = CostHold(job, 1, project, client.user["id"], "vendor", "m", amount, **more)
        decision = await paying.studio.dispatcher.first("hold_cost", hold)
        if decision.allowed and charged != "nothing":
            charged = amount if charged == "same" else charged
            source = "unknown" if charged is None else "reported"
            settlement = CostSettlement(job, 1, "capture", charged, source, {"images": 1})
            assert await paying.studio.dispatcher.first("settle_cost", settlement)
        return job, decision

    return spend


async def budget(client, project, **body):
    return await client.put(f"{PROJECTS}/{project}/budget", {"limitUusd": 1000, **body})


async def test_budget_is_set_shown_and_taken_away(client, project):
    made = await budget(client, project, period="day", tz="Europe/Berlin", softUusd=800)
    assert made.status == 200
    shown = {
        name: made.json[name]
        for name in ("scope", "scopeId", "limitUusd", "leftUusd", "softUusd", "onExceed")
    }
    assert shown == {
        "scope": "project", "scopeId": project, "limitUusd": 1000, "leftUusd": 1000, "softUusd": 800,
        "onExceed": "refuse",
    }  # fmt: skip
    listed = (await client.get(f"{PROJECTS}/{project}/budget")).json
    assert listed == {"items": [made.json], "leftUusd": 1000}
    for _ in range(2):
        assert (await client.delete(f"{PROJECTS}/{project}/budget?period=day")).status == 204
    assert (await client.get(f"{PROJECTS}/{project}/budget")).json == {"items": [], "leftUusd": None}


async def test_what_is_left_minds_the_callers_own_budget_too(client, admin, project):
    await budget(client, project)
    mine = {"scope": "user", "scopeId": client.user["id"], "limitUusd": 300}
    assert (await admin.put("/api/usage/budgets", mine)).status == 200
    assert (await client.get(f"{PROJECTS}/{project}/budget")).json["leftUusd"] == 300


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"limitUusd": -1},
        {"limitUusd": 1.5},
        {"limitUusd": 10**16},
        {"limitUusd": {"$gt": 0}},
        {"limitUusd": 5, "period": "year"},
        {"limitUusd": 5, "tz": "Mars/Olympus"},
        {"limitUusd": 5, "tz": "../../etc/passwd"},
        {"limitUusd": 5, "onExceed": "approval"},
        {"limitUusd": 5, "spentUusd": 0},
        {"limitUusd": 5, "softUusd": -1},
    ],
    ids=str,
)
async def test_budget_of_the_wrong_shape_is_refused(client, project, body):
    answer = await client.put(f"{PROJECTS}/{project}/budget", body)
    assert (answer.status, answer.json["code"]) == (422, "invalid_input")


@pytest.mark.parametrize(
    ("role", "sees", "sets"), [("viewer", 200, 403), ("artist", 200, 403), ("producer", 200, 200)]
)
async def test_who_sees_money_and_who_sets_it(paying, client, project, role, sees, sets):
    member = await paying.sign_in(f"{new_id().lower()}@example.org")
    await member.join(client, project, role)
    for part in ("usage", "ledger", "budget"):
        assert (await member.get(f"{PROJECTS}/{project}/{part}")).status == sees
    assert (await budget(member, project)).status == sets
    assert (await member.delete(f"{PROJECTS}/{project}/budget")).status == (204 if sets == 200 else 403)


@pytest.mark.parametrize("part", ["usage", "ledger", "budget"])
async def test_strangers_do_not_know_of_it(paying, project, part):
    stranger = await paying.sign_in(f"{new_id().lower()}@example.org")
    assert (await stranger.get(f"{PROJECTS}/{project}/{part}")).status == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/usage/budgets?scope=user&scopeId=U", None),
        ("PUT", "/api/usage/budgets", {"scope": "user", "scopeId": "U", "limitUusd": 1}),
        ("DELETE", "/api/usage/budgets?scope=user&scopeId=U", None),
        ("GET", "/api/usage/flagged", None),
        ("POST", "/api/usage/flagged/resolve", {"jobId": "J", "amountUusd": 1}),
        ("POST", "/api/usage/refunds", {"jobId": "J", "amountUusd": 1}),
        ("POST", "/api/usage/check", {}),
    ],
)
async def test_the_platforms_money_is_an_admins(client, method, path, body):
    answer = await client.call(method, path, body)
    assert (answer.status, answer.json.get("permission")) == (403, "usage:operate")


async def test_usage_sums_by_day_provider_model_user_and_kind(client, project, spend):
    await spend(400, 300)
    await spend(50)
    await spend(None, None)
    await spend(70, "nothing")
    report = (await client.get(f"{PROJECTS}/{project}/usage")).json
    assert {name: report[name] for name in ("spentUusd", "heldUusd", "calls", "unknownCalls", "units")} == {
        "spentUusd": 350, "heldUusd": 70, "calls": 3, "unknownCalls": 1, "units": {"images": 3},
    }  # fmt: skip
    keys = {"byProvider": "vendor", "byModel": "vendor/m", "byUser": client.user["id"], "byKind": "call"}
    for part, key in keys.items():
        assert report[part] == [{"key": key, "spentUusd": 350, "calls": 3, "unknownCalls": 1}]
    (day,) = report["byDay"]
    assert (len(day["key"]), day["spentUusd"]) == (10, 350)
    mine = (await client.get("/api/usage/me")).json
    assert (mine["spentUusd"], mine["byProject"][0]["key"], mine["budgets"]) == (350, project, [])


@pytest.mark.parametrize(
    ("query", "status", "spent"),
    [
        ("", 200, 50),
        ("?tz=Asia/Tokyo", 200, 50),
        ("?since=2020-01-01&until=2020-01-31", 200, 0),
        ("?since=2020-01-01", 200, 0),
        ("?since=2020-02-01&until=2020-01-01", 422, None),
        ("?since=2020-01-01&until=2023-01-01", 422, None),
        ("?since=yesterday", 422, None),
        ("?tz=Nowhere", 422, None),
        ("?since[$gt]=", 422, None),
    ],
)
async def test_usage_of_chosen_days(client, project, spend, query, status, spent):
    await spend(50)
    answer = await client.get(f"{PROJECTS}/{project}/usage{query}")
    assert (answer.status, answer.json.get("spentUusd")) == (status, spent)


async def test_ledger_is_paged_newest_first_and_filtered(client, project, spend):
    jobs = [(await spend(amount, amount - 1))[0] for amount in (10, 20, 30)]
    path, rows, cursor = f"{PROJECTS}/{project}/ledger", [], ""
    while cursor is not None:
        page = (await client.get(f"{path}?limit=4{cursor}")).json
        rows += page["items"]
        cursor = f"&cursor={page['nextCursor']}" if page["nextCursor"] else None
    assert [row["jobId"] for row in rows] == [job for job in reversed(jobs) for _ in range(3)]
    assert [row["kind"] for row in rows[:3]] == ["release", "capture", "hold"]
    holds = (await client.get(f"{path}?kind=hold")).json["items"]
    assert [row["amountUusd"] for row in holds] == [30, 20, 10]
    assert len((await client.get(f"{path}?jobId={jobs[0]}")).json["items"]) == 3
    assert (await client.get(f"{path}?kind=gift")).status == 422


async def test_refused_job_answers_402_with_budget_reset_and_help(paying, client, project, monkeypatch):
    """A whole order through the job machine: the estimate of a local model is made to cost something."""
    await budget(client, project, period="day", limitUusd=1000)
    target = await panel_of(client, project)
    price(paying, monkeypatch, 400)
    orders = [{"target": target, "overrides": {"seed": seed}} for seed in range(3)]
    answers = [await client.post("/api/assetGen/generate", order) for order in orders]
    assert [answer.status for answer in answers[:2]] == [202, 202]
    problem = answers[2].json
    assert (answers[2].status, problem["code"], problem["budget"]) == (
        402,
        "budget_exceeded",
        f"project:{project}:day",
    )
    (budget_now,) = (await client.get(f"{PROJECTS}/{project}/budget")).json["items"]
    assert problem["resetsAt"] == budget_now["resetsAt"]
    assert [advice["action"] for advice in problem["retryWith"]] == ["wait", "raise_budget"]
    for answer in answers[:2]:
        path = f"/api/assetGen/jobs/{answer.json['job']['id']}"
        await client.wait_for(path, lambda job: job["state"] == "succeeded")
    left = (await client.get(f"{PROJECTS}/{project}/budget")).json["leftUusd"]
    assert left == 200
    report = (await client.get(f"{PROJECTS}/{project}/usage")).json
    spent = {part["key"]: part["spentUusd"] for part in report["byKind"] if part["spentUusd"]}
    assert (report["spentUusd"], spent) == (800, {"image.generate": 800})
    await paying.studio.services.activity.flush()
    feed = (await client.get(f"{PROJECTS}/{project}/activities")).json["items"]
    assert {"budget.changed", "budget.exceeded"} <= {activity["action"] for activity in feed}


async def test_of_fifty_parallel_orders_against_a_budget_for_ten_ten_are_accepted(
    paying, client, project, monkeypatch
):
    await budget(client, project, limitUusd=1000)
    target = await panel_of(client, project)
    price(paying, monkeypatch, 100)
    orders = [{"target": target, "overrides": {"seed": seed}} for seed in range(50)]
    answers = await asyncio.gather(*(client.post("/api/assetGen/generate", order) for order in orders))
    assert sorted(answer.status for answer in answers) == [202] * 10 + [402] * 40, answers


async def panel_of(client, project):
    text = "INT. KITCHEN - NIGHT\n\nAnn puts the kettle on the table.\n"
    story = (
        await client.post("/api/stories", {"projectId": project, "text": text, "format": "fountain"})
    ).json
    begun = (await client.post(f"/api/stories/{story['id']}/breakdown")).json
    await client.wait_for(f"/api/assetGen/jobs/{begun['jobId']}", lambda job: job["state"] == "succeeded")
    tree = (await client.get(f"/api/stories/{story['id']}/tree")).json
    return {"type": "shot", "id": tree["shots"][0]["id"], "slot": "panel"}


def price(paying, monkeypatch, amount):
    """Let the local panels cost something, before and after, as a vendor's do."""
    target = paying.studio.services.providers.get("image", "local")._target
    estimate, calls = target.estimate, {name: getattr(target, name) for name in ("submit", "poll")}
    monkeypatch.setattr(
        target, "estimate", lambda request: estimate(request).model_copy(update={"cost_uusd": amount})
    )

    def charging(real):
        async def call(asked):
            return (await real(asked)).model_copy(update={"cost_uusd": amount})

        return call

    for name, real in calls.items():
        monkeypatch.setattr(target, name, charging(real))


async def test_flagged_charge_is_settled_by_hand(client, admin, project, spend):
    await budget(client, project, onExceed="warn")
    job, _ = await spend(40, None)
    flags = (await admin.get("/api/usage/flagged?limit=200")).json["items"]
    (flag,) = [flag for flag in flags if flag["jobId"] == job]
    assert (flag["reason"], flag["heldUusd"], flag["projectId"]) == ("unknown_charge", 40, project)
    body = {"jobId": job, "attempt": 1, "amountUusd": 33, "note": "invoice 7"}
    row = (await admin.post("/api/usage/flagged/resolve", body)).json
    assert (row["kind"], row["amountUusd"], row["note"]) == ("adjust", 33, "invoice 7")
    assert (await admin.post("/api/usage/flagged/resolve", body)).json["code"] == "not_flagged"
    assert job not in str((await admin.get("/api/usage/flagged?limit=200")).json)
    (now,) = (await client.get(f"{PROJECTS}/{project}/budget")).json["items"]
    assert (now["heldUusd"], now["spentUusd"]) == (0, 33)


async def test_refund_comes_back_once(client, admin, project, spend):
    await budget(client, project)
    job, _ = await spend(40)
    refund = {"jobId": job, "amountUusd": 15, "note": "broken"}
    rows = [(await admin.post("/api/usage/refunds", refund)).json for _ in range(2)]
    assert rows[0]["id"] == rows[1]["id"]
    assert (await admin.post("/api/usage/refunds", {**refund, "amountUusd": 16})).status == 409
    assert (await client.get(f"{PROJECTS}/{project}/budget")).json["leftUusd"] == 975
    report = (await client.get(f"{PROJECTS}/{project}/usage")).json
    assert (report["spentUusd"], report["refundedUusd"]) == (25, 15)


async def test_admin_sets_the_budgets_of_users_keys_and_providers(admin, spend):
    for scope in ("user", "api_key", "provider"):
        place = {"scope": scope, "scopeId": f"{scope}-{new_id()}"}
        made = await admin.put("/api/usage/budgets", {**place, "limitUusd": 5})
        assert (made.status, made.json["scopeId"]) == (200, place["scopeId"])
        query = f"/api/usage/budgets?scope={scope}&scopeId={place['scopeId']}"
        assert (await admin.get(query)).json["items"] == [made.json]
        assert (await admin.delete(query)).status == 204
        assert (await admin.get(query)).json["items"] == []


async def test_budget_of_an_api_key_binds_that_key_only(admin, spend):
    key = new_id()
    await admin.put("/api/usage/budgets", {"scope": "api_key", "scopeId": key, "limitUusd": 5})
    assert (await spend(6, api_key_id=key))[1].allowed is False
    assert (await spend(6))[1].allowed is True


async def test_check_reports_and_repairs(paying, client, admin, project, spend):
    await budget(client, project)
    await spend(40)
    budgets = paying.studio.services.database["budgets"]
    await budgets.update(
        {"rule_id": f"project:{project}:month"}, {"$inc": {"spent_uusd": 7, "left_uusd": -7}}
    )
    seen = (await admin.post("/api/usage/check", {})).json
    wrong = {d["what"]: (d["ledger"], d["found"]) for d in seen["differences"] if project in d["id"]}
    assert wrong == {"budget.spent_uusd": (40, 47), "budget.left_uusd": (960, 953)}
    assert (await admin.post("/api/usage/check", {"repair": True, "everything": True})).json["repaired"] >= 1
    assert (await admin.post("/api/usage/check", {})).json["differences"] == []
    assert (await client.get(f"{PROJECTS}/{project}/budget")).json["leftUusd"] == 960


async def test_database_away_is_a_503_and_never_a_yes(paying, client, project, monkeypatch):
    target = await panel_of(client, project)

    async def away(*_, **__):
        raise DatabaseUnavailableError

    monkeypatch.setattr(paying.studio.services.database["ledger"], "find", away)
    answer = await client.post("/api/assetGen/generate", {"target": target})
    assert (answer.status, answer.json["code"]) == (503, "database_unavailable")


async def test_where_another_owner_of_cost_is_named_this_one_only_shows(server, client):
    assert server.studio.settings.owners.cost == "free"
    assert server.studio.loader.records["usage"].state == "ready"
