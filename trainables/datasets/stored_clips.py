"""Clips and captions as the stage `clips` stores them: written once, then read by ranges."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.runs import Artifacts
from trainables.config.data import AnyDataset
from trainables.datasets.base import ClipSequence, Stimuli, VerifiedClips, blocks_of, digest_of
from trainables.datasets.errors import ChangedError
from trainables.datasets.kinds import reader_of
from trainables.tensors import TensorShape, TensorWriter, map_tensors

CLIPS, DESCRIPTION = "clips.safetensors", "clips.json"


def write_stimuli(stimuli: Stimuli, folder: Path) -> None:
    """Write `clips.safetensors` (unless the clips lie in a prepared data set) and `clips.json`."""
    digests = list(stimuli.digests) if stimuli.digests is not None else []
    if stimuli.prepared is None:
        digests = _write_clips(stimuli.clips, folder / CLIPS)
    described = {
        "captions": [list(texts) for texts in stimuli.captions],
        "source": list(stimuli.source),
        "factors": None if stimuli.factors is None else dict(stimuli.factors),
        "warnings": list(stimuli.warnings),
        "shape": list(stimuli.clips.shape),
        "digests": digests,
        "prepared": stimuli.prepared,
    }
    (folder / DESCRIPTION).write_text(json.dumps(described), encoding="utf-8")


def _write_clips(clips: ClipSequence, path: Path) -> list[str]:
    """Write clips in blocks, and return the digest of each."""
    digests: list[str] = []
    with TensorWriter(path, {"clips": TensorShape("uint8", clips.shape)}) as file:
        for rows in blocks_of(clips):
            frames = clips[rows]
            file.write("clips", rows.start, frames)
            digests += [digest_of(clip) for clip in frames]
    return digests


def read_stimuli(inputs: Mapping[str, Artifacts], dataset: AnyDataset) -> Stimuli:
    """Return the output of the stage `clips`. Clips are mapped, or read from their prepared data set and verified.

    Runs of earlier versions, in which clips were part of the stage `data`, can be read, too.

    Raises:
        ChangedError: The prepared data set is another one now.
        DatasetError: The prepared data set cannot be read.
    """
    facts = _described(inputs)
    return Stimuli(
        clips=_stored_clips(inputs, facts, dataset),
        captions=facts["captions"],
        source=facts["source"],
        factors=facts["factors"],
        warnings=facts["warnings"],
        digests=facts["digests"],
        prepared=facts["prepared"],
    )


def _described(inputs: Mapping[str, Artifacts]) -> Mapping[str, Any]:
    if "clips" in inputs:
        described: Mapping[str, Any] = inputs["clips"].json(DESCRIPTION)
        return described
    facts = inputs["data"].json("data.json")
    captions = [[text] for text in facts["captions"]]
    return {"warnings": (), **facts, "captions": captions, "digests": None, "prepared": None}


def _stored_clips(inputs: Mapping[str, Artifacts], facts: Mapping[str, Any], dataset: AnyDataset) -> ClipSequence:
    if facts["prepared"] is None:
        stored: ClipSequence = map_tensors(inputs["clips" if "clips" in inputs else "data"].path(CLIPS))["clips"]
        return stored
    stimuli = reader_of(dataset.kind).load_clips(dataset)
    if stimuli.prepared != facts["prepared"]:
        raise ChangedError(
            f"the prepared data set has the digest {stimuli.prepared}, but this run was made with {facts['prepared']}; "
            "give dataset.path the data set of that digest, or run the study anew"
        )
    return VerifiedClips(stimuli.clips, facts["digests"], names=facts["source"])
