"""Driver-side orchestration, standing in for the standard library's `platform` module.

Third-party code that runs `import platform` with this folder on its path gets this package, so every
attribute that is not defined here is looked up in the original module.
"""

import importlib.util
import os
from typing import Any

_path = os.path.join(os.path.dirname(os.__file__), "platform.py")
_spec = importlib.util.spec_from_file_location("platform", _path)
assert _spec is not None
assert _spec.loader is not None
_stdlib = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_stdlib)


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)
