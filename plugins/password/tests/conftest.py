from __future__ import annotations

import pytest

from studio import new_id
from studio.testing.client import Client, serving

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
async def house(tmp_path_factory):
    """A Studio with sign-in by password switched on."""
    async with serving(tmp_path_factory.mktemp("studio"), STUDIO_PASSWORD__ENABLED="true") as client:
        yield client


@pytest.fixture
async def maya(house) -> Client:
    """Somebody who is signed in by a code and has no password yet."""
    return await house.sign_in(f"{new_id().lower()}@example.org")


@pytest.fixture
async def owner(house, maya) -> Client:
    """Somebody with PASSWORD."""
    await house.post("/api/auth/otp/request", {"email": maya.user["email"]})
    body = {"password": PASSWORD, "code": house.code_for(maya.user["email"])}
    answer = await maya.put("/api/auth/password", body)
    assert answer.status == 204, answer
    return maya
