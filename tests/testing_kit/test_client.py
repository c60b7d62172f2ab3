"""What the kit says to an author whose plugin failed, or who lacks what signing in needs."""

from __future__ import annotations

import pytest

from studio.testing.client import serving

pytestmark = pytest.mark.http


async def test_an_answer_of_a_failed_plugin_says_why(tmp_path):
    async with serving(tmp_path, STUDIO_PLUGINS__DISABLED="embedded,streaq,projects") as client:
        answer = await client.get("/api/rbac/roles")
    assert answer.status == 503
    assert "plugin rbac blocked in order: it requires projects (off); 503" in repr(answer)


async def test_signing_in_without_auth_names_what_to_install(tmp_path):
    async with serving(tmp_path, STUDIO_PLUGINS__ENABLED="free") as client:
        with pytest.raises(AssertionError, match=r"pip install studio-auth\), which says <404"):
            await client.sign_in("ann@example.org")
