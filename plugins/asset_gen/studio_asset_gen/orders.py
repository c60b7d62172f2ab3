"""From a wish to orders: what is missing or stale, what it would cost, and the jobs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from studio import (
    ConflictError,
    Doc,
    IdempotencyError,
    InvalidInputError,
    JobOrder,
    NotFoundError,
    ProviderError,
    UnavailableError,
    new_id,
)
from studio_asset_gen.api import AssetKind, Plan, Slot, StoryView, Wish, basis_hash
from studio_projects.api import Projects
from studio_stories.api import Stories, scenes_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from studio import Actor, PluginContext
    from studio_asset_gen.models import BatchRequest, EstimateRequest, GenerateRequest, Target
    from studio_asset_gen.takes import AssetStore

Ordered = tuple[AssetKind, Plan, JobOrder]


class Orders:
    """Plans, prices and orders generations."""

    def __init__(self, ctx: PluginContext, store: AssetStore) -> None:
        self._ctx, self._store = ctx, store

    @property
    def _stories(self) -> Stories:
        return self._ctx.service(Stories)  # type: ignore[type-abstract]  # a protocol is the key it is asked by

    # ------------------------------------------------------------ what there is

    async def view(self, story_id: str, scenes: str | None = None) -> StoryView:
        """Read a story, or the shots of some `scenes` ("1-3"), with its current takes once."""
        story = await self._stories.story(story_id)
        project = await self._ctx.service(Projects).project(story["project_id"])  # type: ignore[type-abstract]  # as above
        if project is None:
            raise NotFoundError("The project of this story is gone.")
        shots = await self._stories.shots(story_id)
        cast = {doc["_id"]: doc for doc in await self._stories.characters(story_id)}
        view = StoryView(project, story, await self._stories.scenes(story_id), shots, cast)
        if scenes is not None:
            chosen = scenes_of(view.scenes, scenes)
            view.shots = shots = [shot for shot in shots if shot["scene_id"] in chosen]
        view.assets = await self._store.assets(
            asset_id for shot in shots for asset_id in (shot.get("current") or {}).values()
        )
        return view

    def named(self, target: Target | None) -> Target:
        """Return the target; raises InvalidInputError when there is none."""
        if target is None:
            raise InvalidInputError("Name storyId or target.")
        return target

    async def project_of_target(self, target: Target) -> Doc:
        """Return the shot or story that a target names; raises NotFoundError."""
        if target.type == "shot":
            return await self._stories.shot(target.id)
        return await self._stories.story(target.id)

    async def slots(
        self, view: StoryView, names: Iterable[str], only: str = "missing_or_stale"
    ) -> list[tuple[AssetKind, Slot]]:
        """Return the slots of these kinds that are missing, stale, both or all."""
        wanted: list[tuple[AssetKind, Slot]] = []
        for name in dict.fromkeys(names):
            kind = self._kind(name)
            wanted += [(kind, slot) for slot in await kind.slots(view) if _wanted(slot, only)]
        return wanted

    def _kind(self, name: str) -> AssetKind:
        kind = self._store.kinds.get(name)
        if kind is None:
            raise InvalidInputError(f"There is no kind {name!r}; choose from {sorted(self._store.kinds)}.")
        return kind

    async def stale(self, view: StoryView) -> list[tuple[AssetKind, Slot]]:
        """Return every slot of every kind whose take no longer shows what the story says."""
        return await self.slots(view, list(self._store.kinds), "stale")

    # ------------------------------------------------------------ orders

    async def single(self, body: GenerateRequest | EstimateRequest) -> list[Ordered]:
        """Make the orders of `n` takes for one target."""
        target = self.named(body.target)
        owner = await self.project_of_target(target)
        view = await self.view(owner.get("story_id") or owner["_id"])
        kind, slot = await self._find(view, target)
        if (named := getattr(body, "kind", None)) not in (None, kind.job, kind.name):
            raise InvalidInputError(f"The slot {target.slot!r} is made by {kind.job}, not by {named}.")
        overrides = body.overrides.model_dump(exclude_none=True)
        if foreign := sorted(set(overrides) - kind.overrides):
            raise InvalidInputError(f"{kind.job} does not read {foreign}; it reads {sorted(kind.overrides)}.")
        takes = await self._store.count_takes(target.id, target.slot)
        wish = Wish(body.provider, body.model, overrides, takes)
        made = [await self._order(view, kind, slot, replace(wish, takes=takes + n)) for n in range(body.n)]
        return [(kind, plan, order) for plan, order in made]

    async def _find(self, view: StoryView, target: Target) -> tuple[AssetKind, Slot]:
        offered: list[str] = []
        for kind in self._store.kinds.values():
            for slot in await kind.slots(view):
                if slot.target == target.model_dump():
                    return kind, slot
                if slot.id == target.id:
                    offered.append(slot.slot)
        raise InvalidInputError(
            f"This {target.type} has no slot {target.slot!r}; it has {offered}.",
            code="unknown_slot",
            slots=offered,
        )

    async def _order(
        self, view: StoryView, kind: AssetKind, slot: Slot, wish: Wish, batch_id: str | None = None
    ) -> tuple[Plan, JobOrder]:
        plan = await kind.plan(view, slot, wish)
        given = {**plan.input, "label": slot.label, "story_id": view.story["_id"]}
        provider = wish.provider or plan.provider
        self._ctx.providers.get(kind.capability, provider, wish.model)
        order = JobOrder(
            kind.job,
            view.project["_id"],
            slot.target,
            given,
            provider=provider,
            model=wish.model,
            batch_id=batch_id,
            dedupe_hash=basis_hash(kind.job, slot.target, given, provider, wish.model),
        )
        return plan, order

    async def many(
        self, view: StoryView, body: BatchRequest | EstimateRequest
    ) -> tuple[list[Ordered], list[Doc]]:
        """Make the orders of a batch, and say what cannot be ordered yet and why."""
        batch_id, ordered, blocked = new_id(), [], []
        for kind, slot in await self.slots(view, body.kinds, body.only):
            takes = view.assets.get(slot.asset_id or "", {}).get("take", 0)
            wish = Wish(provider=body.providers.get(kind.name), takes=takes)
            try:
                plan, order = await self._order(view, kind, slot, wish, batch_id)
            except (ConflictError, ProviderError, UnavailableError) as error:
                blocked.append(
                    {"kind": kind.name, "target": slot.target, "label": slot.label, "reason": error.detail}
                )
            else:
                ordered.append((kind, plan, order))
        return ordered, blocked

    async def submit(
        self, actor: Actor, ordered: list[Ordered], *, idempotency_key: str | None = None
    ) -> list[Doc]:
        """Order the jobs; one repeated under the same key comes back as it is."""
        orders = [order for _, _, order in ordered]
        if idempotency_key is None or len(orders) != 1:
            return await self._ctx.jobs.submit_many(actor, orders)
        try:
            return [await self._ctx.jobs.submit(actor, orders[0], idempotency_key=idempotency_key)]
        except IdempotencyError:  # the first run broke off after its order, and planned with one take less
            first = await self._ctx.jobs.of_key(actor, idempotency_key)
            if first is None:
                raise
            return [first]

    # ------------------------------------------------------------ prices

    async def estimate(self, ordered: list[Ordered]) -> Doc:
        """Price orders at the provider each would go to, and at the others that are on."""
        items = [await self._price(kind, order, order.provider) for kind, _, order in ordered]
        grouped = _grouped(items)
        return {
            "jobs": len(ordered),
            "total_uusd": _total(items),
            "items": grouped,
            "alternatives": await self._alternatives(ordered, {item["provider"] for item in grouped}),
            "blocked": [],
        }

    async def _price(
        self, kind: AssetKind, order: JobOrder, provider: str | None, model: str | None = None
    ) -> Doc:
        named = model or order.model
        job = {"_id": "estimate", "attempt": 1, "model": named, "input": order.input}
        request = await kind.request(job)
        bound = self._ctx.providers.get(kind.capability, provider, named, request=request)
        answer = bound.estimate(request)
        kept = {"kind": kind.name, "provider": bound.name, "model": job["model"], "count": 1}
        return {**kept, "cost_uusd": answer.cost_uusd, "note": answer.note}

    async def _alternatives(self, ordered: list[Ordered], used: set[str]) -> list[Doc]:
        offers = [
            row for row in self._ctx.providers.describe() if row["available"] and row["provider"] not in used
        ]
        items: list[Doc] = []
        for kind, _, order in ordered:
            for row in offers:
                if row["capability"] == kind.capability:
                    items += await self._alternative(kind, order, row)
        return _grouped(items)

    async def _alternative(self, kind: AssetKind, order: JobOrder, offer: Mapping[str, Any]) -> list[Doc]:
        try:
            return [await self._price(kind, replace(order, model=None), offer["provider"])]
        except (ProviderError, UnavailableError):  # one that cannot price it is no alternative
            return []


def _wanted(slot: Slot, only: str) -> bool:
    missing, stale = slot.asset_id is None, slot.stale is not None
    return {"missing": missing, "stale": stale, "all": True}.get(only, missing or stale)


def _total(items: list[Doc]) -> int | None:
    costs = [item["cost_uusd"] for item in items]
    return None if None in costs else sum(costs)


def _grouped(items: list[Doc]) -> list[Doc]:
    """Sum items of one kind, provider and model; one unknown price makes the sum unknown."""
    groups: dict[tuple[Any, ...], list[Doc]] = {}
    for item in items:
        groups.setdefault((item["kind"], item["provider"], item["model"]), []).append(item)
    return [{**group[0], "count": len(group), "cost_uusd": _total(group)} for group in groups.values()]
