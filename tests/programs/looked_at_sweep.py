"""RAY_FOLDER FILE [OPTION...]: a sweep whose Ray leaves all its files in a folder, and there its metadata, too."""

import sys
from pathlib import Path
from unittest.mock import patch

import ray

from platform.run.ray import cluster
from platform.sweep import main
from tests.ray_private import metadata


def told_to_all() -> str:
    """Return what Ray tells whoever asks it."""
    client = metadata()
    texts = [str(client.get_all_job_info())]
    for space in (None, b"fun", b"job", b"tune", b"cluster", b"session"):
        texts += [repr((name, client.internal_kv_get(name, space))) for name in client.internal_kv_keys(b"", space)]
    return "\n".join(texts)


def sweep(folder: Path, *arguments: str) -> int:
    """Run the sweep and look at Ray before it ends."""
    with (
        patch.object(cluster, "_make_folder", lambda: folder),
        patch.object(cluster, "_remove_folder"),
        patch.object(ray, "shutdown"),
    ):
        code = main(list(arguments))
    (folder / "metadata.txt").write_text(told_to_all())
    ray.shutdown()
    return code


if __name__ == "__main__":
    sys.exit(sweep(Path(sys.argv[1]), *sys.argv[2:]))
