"""Models are built at their first use (`defer_build`); here all are, so that a broken one does not wait for a user."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points

import pytest

from studio import Model, ProviderModel

pytestmark = pytest.mark.pure
USERS = 8


def packages():
    """The kernel's package and one per installed plugin."""
    return [
        "studio",
        *sorted({point.value.partition(".")[0] for point in entry_points(group="studio.plugins")}),
    ]


def below(kind):
    for child in kind.__subclasses__():
        yield child
        yield from below(child)


@pytest.mark.parametrize("name", packages())
def test_every_model_of_a_package_can_be_built(name):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    models = [
        m for kind in (Model, ProviderModel) for m in below(kind) if m.__module__.partition(".")[0] == name
    ]
    for model in models:
        model.model_rebuild()
    assert [model for model in models if not model.__pydantic_complete__] == []


def test_first_use_by_many_threads_at_once_is_one_build():
    class Inner(Model):
        number: int

    class Outer(Model):
        items: list[Inner]

    together = threading.Barrier(USERS)

    def use(_):
        together.wait()
        return Outer.model_validate({"items": [{"number": "1"}]}).model_dump_json()

    with ThreadPoolExecutor(USERS) as users:
        assert set(users.map(use, range(USERS))) == {'{"items":[{"number":1}]}'}
