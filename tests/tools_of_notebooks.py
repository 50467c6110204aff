"""tools/notebooks.py and tools/stamp.py as modules; tools/ is no package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any


def _load(name: str) -> Any:
    path = Path(__file__).parents[1] / "tools" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"tools_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool, stamp = _load("notebooks"), _load("stamp")
