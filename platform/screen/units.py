"""Durations and sizes as people read them."""


def duration(seconds: float) -> str:
    """Return a duration as people read it: `0.05 s`, `4.2 s`, `3:07 min`, `2:15 h`."""
    if 0 < seconds < 0.1:
        return f"{seconds:.1g} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60}:{int(seconds) % 60:02} min"
    return f"{int(seconds) // 3600}:{int(seconds) % 3600 // 60:02} h"


def size(num_bytes: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} TB"
