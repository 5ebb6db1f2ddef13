"""The mindvideo stage: generates videos from noise, under tokens that are decoded from fMRI."""

from functools import partial
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from trainables.backbones.load import load_text_encoder
from trainables.context import StageResult, StageTask
from trainables.loop import pick_device
from trainables.networks.cotrained import add_delta
from trainables.networks.generator import Prompts
from trainables.stages.cotrain import CONDITIONS, DELTA
from trainables.stages.decoding import pick, read_some, read_tensors, split_index
from trainables.stages.feeding import Fed, chosen_clips, noise_seeds
from trainables.stages.generation import VideoTensors, generate, history, load_frame_decoder

TRANSDUCTIVE = (
    "mindvideo.uncond is mean_test, as in the released code: the mean fMRI of the test clips is part of every video, "
    "so scores are not those of a decoder that sees one clip at a time"
)


def run(task: StageTask) -> StageResult:
    """Write `videos.safetensors`: `videos` and `ceiling` uint8 [n,F,H,W,3], `index` int64 [n].

    `ceiling` is generated from the same noise with the captions' true text conditions: what the co-trained diffusion
    model makes of perfect tokens. There is none if `tokens.tokens` is another number than theirs. `index` is the number
    of each clip in the data set; validation clips come first.

    Raises:
        ValueError: A backbone cannot be loaded or does not fit the features, or the config selects no clip.
        NotFiniteError: The generator returned NaN or infinity.
    """
    device = pick_device("auto")
    source = _Source(task)
    prompts, adapt = _prompts(task, device=device), partial(_cotrained, task, source.video[0])
    batches = generate(task, source, prompts=prompts, device=device, adapt=adapt)
    decoder = load_frame_decoder(task, latent=source.video[-2:], device=device)
    clips = len(source.index)
    names = ("videos", "ceiling") if source.has_ceiling else ("videos",)
    shapes = dict.fromkeys(names, (clips, *source.video))
    with VideoTensors(task.context.output / "videos.safetensors", decoder, shapes, index=source.index) as file:
        for batch in batches:
            own = max(0, min(clips - batch.first, len(batch.latents)))
            file.write("videos", batch.first, batch.latents[:own])
            if own < len(batch.latents):
                file.write("ceiling", batch.first + own - clips, batch.latents[own:])
    info = {"device": str(device), "clips": str(clips), "decoded_at_once": str(decoder.at_once)}
    return StageResult(history=history(task, len(source)), info=info)


class _Source:
    """The generator's inputs for the chosen clips: decoded tokens, then the same clips' true conditions.

    True conditions are left out if they have another number of tokens.
    """

    def __init__(self, task: StageTask) -> None:
        """Choose the clips. Raises `ValueError` if the config selects none."""
        self._task = task
        members = split_index(task)
        self.index = chosen_clips(members, task.config.generator)
        """The number of each clip in the data set, int64 [n]."""
        stored = read_tensors(task.inputs["cotrain"].path(CONDITIONS), ("condition", "index"))
        position = {clip: row for row, clip in enumerate(stored["index"].tolist())}
        self._decoded = pick(stored["condition"], torch.tensor([position[clip] for clip in self.index.tolist()]))
        first = read_some(task, ("latents", "condition"), members["train"][:1], device=torch.device("cpu"))
        self.video = tuple(first.features["latents"].shape[1:])
        """F, c, h, w."""
        self.has_ceiling = first.features["condition"].shape[1] == self._decoded.shape[1]

    def __len__(self) -> int:
        return len(self.index) * (2 if self.has_ceiling else 1)

    def block(self, rows: slice) -> Fed:
        """Return the inputs of the videos `rows`."""
        numbers = torch.arange(len(self))[rows]
        clips = self.index[numbers % len(self.index)]
        own = int((numbers < len(self.index)).sum())
        conditions = torch.cat((self._decoded[numbers[:own]], self._true(clips[own:])))
        latents = torch.zeros(len(numbers), *self.video)  # nothing is decoded: generation starts from noise
        return Fed(conditions, latents, noise_seeds(self._task, clips))

    def _true(self, clips: Tensor) -> Tensor:
        """Return the true conditions of `clips`, [n,L,C]."""
        if len(clips) == 0:
            return self._decoded[:0]
        return read_some(self._task, ("condition",), clips, device=torch.device("cpu")).features["condition"]


def _prompts(task: StageTask, *, device: torch.device) -> Prompts:
    """Return the generator's prompts, of which the negative one is that of `mindvideo.uncond`."""
    kind, path = task.config.mindvideo.uncond, task.inputs["cotrain"].path(CONDITIONS)
    encoder = load_text_encoder(task.config.backbones.stable_diffusion, device=device)
    empty = encoder.encode([""], tokens=encoder.model.config.max_position_embeddings)[0]
    if kind == "empty_prompt":
        tokens = read_tensors(path, ("mean_train",))["mean_train"].shape[0]
        return Prompts(empty, encoder.encode([""], tokens=tokens)[0])
    if kind == "mean_test":
        task.context.telemetry.warn(TRANSDUCTIVE)
    return Prompts(empty, read_tensors(path, (kind,))[kind])


def _cotrained(task: StageTask, frames: int, unet: Any) -> None:
    """Give `unet` what co-training added to it."""
    add_delta(unet, load_file(task.inputs["cotrain"].path(DELTA)), frames=frames)
    unet.eval().requires_grad_(False)
