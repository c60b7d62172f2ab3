"""The provider of docs/how-to/write-a-provider.md as it is printed there, whole or with one thing broken."""

from __future__ import annotations

import re
import sys
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-provider.md"
INI = """[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = session
asyncio_default_test_loop_scope = session
pythonpath = . tests
markers =
  http: through the HTTP interface
"""


def files(*changes: tuple[str, str, str]) -> dict[str, str]:
    """Return the printed files by name, after `changes` (file, old text, new text)."""
    found = dict(re.findall(r"```python title=\"([^\"]+)\"\n(.*?)```", GUIDE.read_text(), re.DOTALL))
    for name, old, new in changes:
        assert found[name].count(old) == 1, f"{name} of the guide has {old!r} {found[name].count(old)} times"
        found[name] = found[name].replace(old, new)
    return found


def write(root: Path, *changes: tuple[str, str, str]) -> None:
    """Write them as a project that pytest can run."""
    for name, text in files(*changes).items():
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        (root / name).write_text(text)
    (root / "studio_lumen" / "__init__.py").touch()
    (root / "pytest.ini").write_text(INI)


def forget() -> None:
    """Let the modules be imported anew."""
    for name in [n for n in sys.modules if n.partition(".")[0] in ("studio_lumen", "fake_lumen")]:
        del sys.modules[name]
