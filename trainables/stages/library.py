"""The library stage: answers that are training clips, and how near the held-out clips are to training clips.

It depends on the data set and the subject alone, so all trials share it. The stage `evaluate` judges its answers as the
controls `nearest_clip` and `mean_clip`.
"""

import json
from dataclasses import asdict

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from trainables.context import StageResult, StageTask
from trainables.datasets.prepared.tables import read_voxels
from trainables.datasets.stored_clips import read_stimuli
from trainables.judging.ceiling_text import CEILING_FACT, ceiling_in_words
from trainables.judging.library import (
    OVERLAP_FACT,
    decoded_embeddings,
    library_of,
    mean_clip,
    nearest_of,
    overlap_of,
)
from trainables.stages.decoding import HELD_OUT, read_some, split_index
from trainables.tensors import map_tensors

FILE, OVERLAP = "library.safetensors", "overlap.json"


def run(task: StageTask) -> StageResult:
    """Write `library.safetensors` and `overlap.json`.

    library: `index` int64 [m], the numbers of all held-out clips; `nearest_clip` int64 [m], the training clip whose
    CLIP image embedding is nearest to the one that ridge regression decodes from the clip's fMRI; `mean_clip` uint8
    [F,H,W,3]. Training clips with the frames of a held-out clip are left out of all of them.
    overlap: for each held-out split, the CLIP similarity of its clips to all training clips.

    Raises:
        ValueError: A split has no clips, or all training clips are held-out clips, too.
    """
    stimuli = read_stimuli(task.inputs, task.config.dataset)
    split: list[str] = task.inputs["voxels"].json("voxels.json")["split"]
    assert stimuli.digests is not None, "the stage clips writes them"
    digests, members = stimuli.digests, split_index(task)
    library = library_of(split, digests)
    device = torch.device("cpu")
    rows = {name: read_some(task, ("clip_image",), members[name], device=device) for name in HELD_OUT}
    known = read_some(task, ("clip_image",), library, device=device)
    fmri = {"train": known.fmri, "validation": rows["validation"].fmri}
    images = {"train": known.features["clip_image"], "validation": rows["validation"].features["clip_image"]}
    asked = torch.cat([rows[name].fmri for name in HELD_OUT])
    nearest = nearest_of(decoded_embeddings(fmri, images, asked), images["train"], library)
    index = torch.cat([rows[name].index for name in HELD_OUT])
    mean = torch.from_numpy(mean_clip(stimuli.clips, library))
    tensors = {"index": index, "nearest_clip": nearest.clip, "mean_clip": mean}
    save_file(tensors, task.context.output / FILE)
    training = read_some(task, ("clip_image",), members["train"], device=device).features["clip_image"]
    in_training = {digests[clip] for clip in members["train"].tolist()}
    overlaps = {}
    for name in HELD_OUT:
        embeddings = rows[name].features["clip_image"]
        similarities = F.normalize(embeddings, dim=-1) @ F.normalize(training, dim=-1).T
        same = sum(digests[clip] in in_training for clip in members[name].tolist())
        overlaps[name] = overlap_of(similarities, same_frames=same)
    described = json.dumps({name: asdict(overlap) for name, overlap in overlaps.items()}, indent=1)
    (task.context.output / OVERLAP).write_text(described, encoding="utf-8")
    ceiling = _noise_ceiling(task)
    facts = {OVERLAP_FACT: str(overlaps["test"])} | ({CEILING_FACT: ceiling} if ceiling else {})
    return StageResult(info={"clips": str(len(library)), **facts})


def _noise_ceiling(task: StageTask) -> str:
    table = read_voxels(task.inputs["data"].path(f"voxel_table_{task.config.voxels.subject}.parquet"))
    return ceiling_in_words(table, map_tensors(task.inputs["voxels"].path("voxels.safetensors"))["voxel"])
