"""Draws training and validation clips anew by whole blocks; test clips stay as they are."""

from collections.abc import Sequence

import numpy as np

from trainables.datasets.prepared.blocks import assign_groups


def resplit(split: Sequence[str], block: Sequence[int], *, seed: int) -> list[str]:
    """Return `split` with its training and validation blocks mixed and drawn again; unchanged for seed 0.

    Validation keeps its share of the clips, up to whole blocks. Test and excluded clips stay as they are.

    Raises:
        DatasetError: There are fewer than two blocks to draw from.
    """
    if seed == 0:
        return list(split)
    names = np.array(split)
    is_open = np.isin(names, ("train", "validation"))
    share = float((names == "validation").sum() / max(1, is_open.sum()))
    drawn = assign_groups(np.asarray(block), is_open, {"validation": share}, seed)
    return [new if chosen else old for old, new, chosen in zip(split, drawn, is_open.tolist(), strict=True)]
