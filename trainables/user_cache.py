"""Where this user's copies and memories lie that can be made again."""

from pathlib import Path

from storage.environment import variable


def user_cache(name: str) -> Path:
    """Return the folder `name` of this user's cache, below XDG_CACHE_HOME or ~/.cache. It may not exist yet."""
    named = variable("XDG_CACHE_HOME")
    caches = Path("~/.cache" if named is None else named).expanduser()
    return caches / "mindsweep" / name
