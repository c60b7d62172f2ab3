"""From stored documents to JSON: only the public model's fields leave, in camelCase, not validated again.

Source of the reason: a 50 KB list costs pydantic about 250 µs to validate and dump, this and orjson a third.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, JsonValue
from pydantic_core import PydanticUndefined, to_jsonable_python

from studio.errors import PluginError

Converter = Callable[[Any], Any]
_SEVERAL, _DOCUMENT = (list, tuple, set), (dict, BaseModel)
_PLAIN = (str, int, type(None), bool, Any, ..., JsonValue)
_OPAQUE = ("__total__", "__dataclass_fields__", "_fields", "__value__", "__bound__", "model_fields")
"""What only a TypedDict, dataclass, NamedTuple, `type X = …`, TypeVar or RootModel has: none of them is filtered."""
_ADVICE = "its private fields would leave; name a Model, or a list[…], dict[str, …] or tuple[…, ...] of one"


class WireModel:
    """Converts documents (or models) to the JSON of `model`; raises PluginError when it, or one below, cannot.

    A missing field gets the model's default, or null without one: a document of an older schema is no error.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        if not model.__pydantic_fields_complete__:  # it names a model below it, whose every field would leave
            model.model_rebuild()
        decorators = model.__pydantic_decorators__
        if decorators.field_serializers or decorators.model_serializers:
            raise PluginError(f"{model.__name__}: a public model has no serializers; use a computed_field")
        self.model = model
        self.fields = model.model_fields
        self.stored = {name: "_id" if name == "id" else name for name in self.fields}
        public = {name: field for name, field in self.fields.items() if not field.exclude}
        self.pairs = [(f.serialization_alias or name, self.stored[name]) for name, f in public.items()]
        literal = {name for name, field in self.fields.items() if get_origin(field.annotation) is Literal}
        self.tags = {self.stored[name]: get_args(self.fields[name].annotation) for name in literal}
        _known[model] = self  # before its fields are looked at: models may be recursive
        self.below = [self._below(name, field.annotation) for name, field in public.items()]
        self.computed = {
            name: (field.alias or name, self._below(name, _returned(field)) or (lambda value: value))
            for name, field in model.model_computed_fields.items()
        }

    def _below(self, name: str, kind: Any) -> Converter | None:
        try:
            return converter(kind)
        except PluginError as error:
            _known.clear()  # those that reach this model by another way are refused too when they are asked for
            raise PluginError(f"{self.model.__name__}.{name}: {error}") from error

    def __call__(self, document: Any) -> Any:
        """Return the JSON value; what is neither a document nor several passes unchanged."""
        if not isinstance(document, dict):
            if not isinstance(document, BaseModel):
                return [self(one) for one in document] if isinstance(document, _SEVERAL) else document
            if type(document) is self.model:
                return document.model_dump(mode="json", by_alias=True)
            document = vars(document)
        try:
            out = self._one(document)
        except KeyError:
            document = self._fill(document)
            out = self._one(document)
        if self.computed:
            document = self._fill(document)
            whole = self.model.model_construct(
                **{name: document[stored] for name, stored in self.stored.items()}
            )
            out |= {alias: convert(getattr(whole, name)) for name, (alias, convert) in self.computed.items()}
        return out

    def matches(self, document: Any) -> bool:
        """Return whether the Literal fields allow `document` to be one of this model."""
        values = document if isinstance(document, dict) else self._fill(vars(document))
        return all(values.get(key) in allowed for key, allowed in self.tags.items())

    def all(self, documents: Any) -> list[Any]:
        """Return the JSON values of many documents, in half the time of one by one."""
        if not self.computed:
            with suppress(KeyError, TypeError):  # an older schema, or models: one by one
                found: list[Any] = self._many(documents)
                return found
        return [self(document) for document in documents]

    @cached_property
    def _one(self) -> Any:
        return self._compile("lambda d: {}")

    @cached_property
    def _many(self) -> Any:
        return self._compile("lambda ds: [{} for d in ds]")

    def _compile(self, source: str) -> Any:
        """Return `source` with the document's new dict written out, which builds twice as fast as a loop."""
        nested = {f"c{at}": convert for at, convert in enumerate(self.below) if convert}
        cells = [
            f"{name!r}: c{at}(d[{stored!r}])" if f"c{at}" in nested else f"{name!r}: d[{stored!r}]"
            for at, (name, stored) in enumerate(self.pairs)
        ]
        return eval(source.format("{" + ", ".join(cells) + "}"), nested)  # noqa: S307 - field names only, quoted

    def _fill(self, document: Mapping[str, Any]) -> dict[str, Any]:
        return {
            stored: document[stored] if stored in document else self._default(name, document)
            for name, stored in self.stored.items()
        }

    def _default(self, name: str, document: Mapping[str, Any]) -> Any:
        if name in document:  # the `id` of an embedded document or of a model
            return document[name]
        value = self.fields[name].get_default(call_default_factory=True, validated_data={})
        return None if value is PydanticUndefined else to_jsonable_python(value, by_alias=False)


_known: dict[type[BaseModel], WireModel] = {}


def converter(kind: Any) -> Converter | None:
    """Return the converter for values of a type, None when they leave as they are.

    Raises PluginError when a model could be in them where nobody would look for it.
    """
    if kind in _PLAIN:
        return None
    kind = getattr(kind, "__supertype__", kind)  # of a NewType
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel) and not kind.__pydantic_root_model__:
        return _known.get(kind) or WireModel(kind)
    if origin in (Union, types.UnionType):
        return _union(kind, [found for member in arguments if (found := converter(member))])
    parts = [converter(part) for part in (arguments[:1] if origin is Annotated else arguments)]
    inner = parts.pop(-1 if origin in (dict, Mapping) else 0) if parts else None
    if kind is Self or any(parts) or any(hasattr(origin or kind, mark) for mark in _OPAQUE):
        raise PluginError(f"{kind}: {_ADVICE}")
    if inner is None or origin is Annotated:
        return inner
    # What an older schema stored in another shape, one for several or several for one, is filtered all the same.
    if origin in (dict, Mapping):
        return lambda values: (
            {k: inner(v) for k, v in values.items()} if isinstance(values, dict) else inner(values)
        )
    several = each(inner)
    return lambda values: several(values) if isinstance(values, _SEVERAL) else inner(values)


def _returned(field: Any) -> Any:
    """Return what a computed field gives."""
    if field.return_type is not PydanticUndefined:
        return field.return_type
    made = field.wrapped_property
    return get_type_hints(getattr(made, "fget", None) or made.func, include_extras=True).get("return", Any)


def each(convert: Converter) -> Callable[[Any], list[Any]]:
    """Return what converts a list of values."""
    return convert.all if isinstance(convert, WireModel) else lambda values: [convert(v) for v in values]


def _union(kind: Any, members: list[Converter]) -> Converter | None:
    if len(members) <= 1:
        return members[0] if members else None
    models = sorted((m for m in members if isinstance(m, WireModel)), key=lambda model: not model.tags)
    if len(models) != len(members) or sum(not model.tags for model in models) > 1:
        raise PluginError(f"{kind}: give each model of a union a Literal field that tells it from the others")

    def chosen(value: Any) -> Any:
        if isinstance(value, _SEVERAL):
            return [chosen(one) for one in value]
        if not isinstance(value, _DOCUMENT):
            return value
        return next((model(value) for model in models if model.matches(value)), None)

    return chosen
