"""Captions of clips by BLIP-2: two frames are described, and joined if the clip has changed (mind-animator.md A.8).

The captions that are done are kept beside the result, one JSON line each, so that the same command continues.
"""

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.backbones.load import ClipModel, load_clip
from trainables.backbones.sources import locate
from trainables.datasets.errors import DataProblem, DatasetError
from trainables.loop import pick_device
from trainables.preparation.caption_options import CaptionOptions

_Frames = NDArray[np.uint8]
ReadClip = Callable[[int], _Frames]
"""Returns the frames of a clip by its number, uint8 [F,H,W,3]."""
ReportDone = Callable[[int, int], None]
"""Is called with how many clips have just been described, and how many there are."""


@dataclass(frozen=True)
class Describer:
    """BLIP-2 with its preparation of images and texts."""

    model: Any
    processor: Any
    device: torch.device

    @torch.no_grad()
    def describe(self, frames: Sequence[_Frames], options: CaptionOptions) -> list[str]:
        """Return a text for each frame, uint8 [H,W,3]."""
        from PIL import Image

        images = [Image.fromarray(frame) for frame in frames]
        inputs = self.processor(images=images, text=[options.prompt] * len(images), return_tensors="pt", padding=True)
        ids = self.model.generate(
            **inputs.to(self.device), do_sample=False, num_beams=options.beams, max_new_tokens=3 * options.words
        )
        texts = self.processor.batch_decode(ids, skip_special_tokens=True)
        return [shortened(text.removeprefix(options.prompt), options.words) for text in texts]


def shortened(text: str, words: int) -> str:
    """Return at most so many words of a text, in one line; a text without words stays empty.

    Example:
        >>> shortened(" a dog  runs ", 2)
        'a dog'
    """
    return " ".join(text.split()[:words])


def load_describer(source: str) -> Describer:
    """Load BLIP-2 from a folder or the hub. Raises `ValueError` if it is another model."""
    from transformers import AutoConfig, Blip2ForConditionalGeneration, Blip2Processor

    weights = locate(source, kind="blip2", field="--model")
    options = {} if weights.revision is None else {"revision": weights.revision}
    try:
        kind = AutoConfig.from_pretrained(weights.location, **options).model_type
        if kind != "blip-2":
            raise ValueError(f"--model: {source} holds {kind}, which is not BLIP-2")
        processor = Blip2Processor.from_pretrained(weights.location, **options)
        model = Blip2ForConditionalGeneration.from_pretrained(weights.location, use_safetensors=True, **options)
    except (OSError, KeyError) as error:
        raise ValueError(f"--model: {source} cannot be loaded: {str(error).splitlines()[0]}") from error
    device = pick_device("auto")
    return Describer(model.eval().to(device), processor, device)


def write_captions(
    names: Sequence[str], read: ReadClip, out: Path, options: CaptionOptions, done: ReportDone = lambda new, total: None
) -> dict[str, str]:
    """Describe all clips and write `out`, JSON from the clip's name to its caption; return the captions.

    Raises:
        DatasetError: A clip has too few frames, a caption is empty, or `out` was begun with other options.
        ValueError: A model cannot be loaded.
    """
    log = out.with_name(f"{out.name}.part")
    header = _header(options)
    finished = _read_log(log, header) if log.exists() else {}
    todo = [number for number, name in enumerate(names) if name not in finished]
    done(len(names) - len(todo), len(names))
    if todo:
        models = _Models(load_describer(options.model), load_clip(options.clip, device=pick_device("auto")))
        with log.open("a", encoding="utf-8") as file:
            if file.tell() == 0:
                file.write(f"{json.dumps(header)}\n")
            for numbers in _batches(todo, max(1, options.batch // 2)):
                clips = [read(number) for number in numbers]
                for line in _captioned([names[number] for number in numbers], clips, models, options):
                    finished[line["clip"]] = line["caption"]
                    file.write(f"{json.dumps(line)}\n")
                file.flush()
                done(len(numbers), len(names))
    captions = {name: finished[name] for name in names}
    out.write_text(json.dumps(captions, indent=1), encoding="utf-8")
    log.unlink(missing_ok=True)
    return captions


@dataclass(frozen=True)
class _Models:
    describer: Describer
    clip: ClipModel


def _header(options: CaptionOptions) -> dict[str, Any]:
    """Return what decides the captions."""
    return options.model_dump(mode="json", exclude={"source", "batch"})


def _read_log(path: Path, header: Mapping[str, Any]) -> dict[str, str]:
    """Return the captions that are done; a line that a kill cut off is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [json.loads(line) for line in lines if line.endswith("\n")]
    if whole and whole[0] != header:
        changed = sorted(key for key in header if whole[0].get(key) != header[key])
        what = f"was begun with another {', '.join(changed)}"
        raise DatasetError.of(DataProblem(str(path), what, "give the same options, or delete it"))
    path.write_text("".join(line for line in lines if line.endswith("\n")), encoding="utf-8")
    return {line["clip"]: line["caption"] for line in whole[1:]}


def _batches(numbers: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for first in range(0, len(numbers), size):
        yield numbers[first : first + size]


def _captioned(
    names: Sequence[str], clips: Sequence[_Frames], models: _Models, options: CaptionOptions
) -> Iterator[dict[str, Any]]:
    """Yield clip, both texts, their similarities to the compared frame, and the caption."""
    wanted = max(options.first, options.second, options.compared)
    for name, frames in zip(names, clips, strict=True):
        if len(frames) < wanted:
            what = f"has {len(frames)} frames, but frame {wanted} is wanted"
            raise DatasetError.of(DataProblem(name, what, "choose others with --first, --second and --compared"))
    firsts = models.describer.describe([frames[options.first - 1] for frames in clips], options)
    same = options.first == options.second
    seconds = firsts if same else models.describer.describe([frames[options.second - 1] for frames in clips], options)
    empty = [name for name, one, two in zip(names, firsts, seconds, strict=True) if not one or not two]
    if empty:
        what = "the model says nothing of it"
        raise DatasetError.of(DataProblem(empty[0], what, "try another --prompt, or leave the clip out"))
    middle = torch.from_numpy(np.stack([each[options.compared - 1] for each in clips]))
    similar = [_cosine(models.clip.images(middle), models.clip.texts(texts)) for texts in (firsts, seconds)]
    for name, one, two, first, second in zip(names, firsts, seconds, *similar, strict=True):
        caption = one if same else joined((one, two), (first, second), name, options)
        yield {"clip": name, "first": one, "second": two, "similarity": [first, second], "caption": caption}


def _cosine(images: torch.Tensor, texts: torch.Tensor) -> list[float]:
    similarity = torch.nn.functional.cosine_similarity(images.float().cpu(), texts.float().cpu())
    return [float(value) for value in similarity]


def joined(texts: tuple[str, str], similarity: tuple[float, float], name: str, options: CaptionOptions) -> str:
    """Return the caption of a clip from the texts of two of its frames (Algorithm 1 of the paper).

    If both resemble the compared frame about as much, one of them is drawn, by seed and name; else both are joined.
    """
    if abs(similarity[0] - similarity[1]) > options.threshold:
        return f"{texts[0]} {options.joiner} {texts[1]}"
    drawn = hashlib.sha256(f"{options.seed} {name}".encode()).digest()
    return texts[random.Random(drawn).randrange(2)]
