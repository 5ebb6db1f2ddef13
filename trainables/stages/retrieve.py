"""The retrieve stage: how often the right clip is found by the CLIP embedding of its reconstruction (Table 5)."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from trainables.backbones.gallery import FIELD, others_config
from trainables.backbones.load import ClipModel, load_clip
from trainables.context import StageResult, StageTask
from trainables.datasets import load_clips
from trainables.datasets.base import ClipSequence
from trainables.datasets.stored_clips import read_stimuli
from trainables.graph import video_stage
from trainables.loop import pick_device
from trainables.metrics.metric import split_prefix
from trainables.metrics.retrieval import ranks
from trainables.stages.decoding import HELD_OUT, read_some, split_index
from trainables.stages.feeding import chosen_clips
from trainables.tensors import map_tensors

TOP, LARGE_TOP = (1, 5, 10), (10, 100)
"""The k of top-k retrieval among the held-out clips that were reconstructed, and in a larger gallery."""


def run(task: StageTask) -> StageResult:
    """Write `retrieve.safetensors`: `index` int64 [n], `embedding` float32 [n,D], `rank_GALLERY` [n].

    The query is the mean CLIP image embedding of the reconstructed frames. Galleries: `small`, the clips of the split
    that `generator` chooses, the same for all systems, also for those that make more; `with_training`, these and the
    training clips; `with_others`, these and the clips of `retrieve.others`. Ranks are by cosine; ties get the average.

    Metrics: `top1`, `top5`, `top10` of the small gallery; `with_training_top10` and `_top100`, `with_others_top10` and
    `_top100`, unless the gallery has no more clips than that.

    Raises:
        ValueError: A chosen clip was not reconstructed, `backbones.clip` cannot be loaded, or `retrieve.others` holds a
            clip with the frames of a held-out clip.
    """
    made = map_tensors(task.inputs[video_stage(task.inputs)].path("videos.safetensors"))
    clip = load_clip(task.config.backbones.clip, device=pick_device("auto"))
    members = split_index(task)
    index = chosen_clips(members, task.config.generator)
    queries = embedded(clip, made["videos"], rows_of(np.array(made["index"]), index))
    larger = {"with_training": _of_clips(task, members["train"]), **_others(task, clip, members)}
    metrics: dict[str, float] = {}
    tensors = {"index": index, "embedding": queries}
    for name in HELD_OUT:
        asked = torch.isin(index, members[name])
        if not asked.any():
            continue
        own = _of_clips(task, index[asked])
        prefix = split_prefix(name)
        for gallery, more in {"small": own[:0], **larger}.items():
            rank = ranks(queries[asked], torch.cat((own, more)))
            tensors[f"{name}_rank_{gallery}"] = rank
            metrics |= {f"{prefix}{key}": value for key, value in _tops(gallery, rank, len(own) + len(more))}
    save_file(
        {key: tensor.contiguous() for key, tensor in tensors.items()}, task.context.output / "retrieve.safetensors"
    )
    return StageResult(
        metrics, info={"clips": str(len(index)), **{key: str(len(more)) for key, more in larger.items()}}
    )


def rows_of(made: NDArray[np.int64], chosen: Tensor) -> list[int]:
    """Return where the videos of the `chosen` clips lie. Raises `ValueError` if one was not made."""
    row_of = {int(number): row for row, number in enumerate(made)}
    if missing := [number for number in chosen.tolist() if number not in row_of]:
        raise ValueError(
            f"{len(missing)} of {len(chosen)} clips have no video (the first is number {missing[0]}); systems are "
            "compared on the same clips"
        )
    return [row_of[number] for number in chosen.tolist()]


def embedded(clip: ClipModel, videos: ClipSequence, rows: Sequence[int] | None = None) -> Tensor:
    """Return the mean CLIP image embedding of the frames of each of `rows` of videos [n,F,H,W,3]; None: of all."""
    device = clip.model.device

    def means() -> Iterator[Tensor]:
        for row in range(len(videos)) if rows is None else rows:
            frames = torch.from_numpy(np.array(videos[row : row + 1][0]))
            yield clip.images(frames.to(device)).mean(dim=0).float().cpu()

    return torch.stack(list(means()))


def _tops(gallery: str, rank: Tensor, size: int) -> Iterator[tuple[str, float]]:
    small = gallery == "small"
    for k in TOP if small else LARGE_TOP:
        if k < size:
            yield f"{'' if small else f'{gallery}_'}top{k}", float((rank <= k).double().mean())


def _of_clips(task: StageTask, index: Tensor) -> Tensor:
    return read_some(task, ("clip_image",), index, device=torch.device("cpu")).features["clip_image"].float()


def _others(task: StageTask, clip: ClipModel, members: Mapping[str, Tensor]) -> dict[str, Tensor]:
    config = others_config(task.config)
    if config is None:
        return {}
    others, own = load_clips(config), read_stimuli(task.inputs, task.config.dataset)
    assert own.digests is not None, "the stage clips writes them"
    held_out = {own.digests[int(number)] for name in HELD_OUT for number in members[name]}
    _check_apart(others.digests, held_out, folder=config.path)
    return {"with_others": embedded(clip, others.clips)}


def _check_apart(digests: Sequence[str] | None, held_out: set[str], *, folder: str) -> None:
    same = [number for number, digest in enumerate(digests or ()) if digest in held_out]
    if same:
        raise ValueError(
            f"{FIELD}: {len(same)} clips of {folder} have the frames of a validation or test clip (the first is number "
            f"{same[0]}), so the right clip would be in the gallery twice; name a data set without them"
        )
