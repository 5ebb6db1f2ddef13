"""Processes joined by torch.distributed (gloo), without Ray: what the workers of one stage run are to each other."""

import multiprocessing
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any


def on_ranks(function: Callable[..., None], folder: Path, *arguments: Any, size: int = 2) -> None:
    """Call `function(rank, size, *arguments)` in each of `size` joined processes, and wait for their ends.

    What one raises stands on the standard error output.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=_rank, args=(function, folder, rank, size, arguments), daemon=True) for rank in range(size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=240)
        process.kill()


def _rank(function: Callable[..., None], folder: Path, rank: int, size: int, arguments: tuple[Any, ...]) -> None:
    import torch

    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size, timeout=timedelta(seconds=120)
    )
    function(rank, size, *arguments)
