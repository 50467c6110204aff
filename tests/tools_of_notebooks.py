"""tools/notebooks.py as a module; tools/ is no package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

_spec = importlib.util.spec_from_file_location("tools_notebooks", Path(__file__).parents[1] / "tools" / "notebooks.py")
assert _spec is not None and _spec.loader is not None
tool: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tool)
