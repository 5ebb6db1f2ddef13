"""Where this user's copies and memories lie that can be made again."""

import os
from pathlib import Path


def user_cache(name: str) -> Path:
    """Return the folder `name` of this user's cache, below XDG_CACHE_HOME or ~/.cache. It may not exist yet."""
    caches = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    return caches / "mindsweep" / name
