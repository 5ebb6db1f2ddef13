"""Lets a bare `pytest` find the project's `platform` package.

pytest imports the standard library's `platform` before it reads any of our files; giving that module object a
`__path__` makes `import platform.study.plan` find our folder, while its own functions stay what they were.
"""

import sys
from pathlib import Path

import platform

_ROOT = Path(__file__).resolve().parent
if str(_ROOT) not in sys.path:
    sys.path.insert(0, str(_ROOT))
platform.__path__ = [str(_ROOT / "platform")]
pytest_plugins = (
    "tests.caches",
    "tests.clusters",
    "tests.fuzzing",
    "tests.groups",
    "tests.nodes",
    "tests.platform.made_up_videos",
    "tests.platform.mirrored",
    "tests.servers.ceph",
    "tests.stores",
    "tests.servers.postgres",
    "tests.servers.mlflow",
    "tests.servers.browser",
)
