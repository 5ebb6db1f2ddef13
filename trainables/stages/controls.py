"""The controls stage: videos of the same generator from the true features, and from the mean of the training clips.

All trials with the same generator share it. Controls that need no generator are computed by the evaluate stage.
"""

import torch

from trainables.context import StageResult, StageTask
from trainables.loop import pick_device
from trainables.randomness import derived_seed
from trainables.stages.decoding import mean_of_rows, read_some, split_index
from trainables.stages.feeding import Fed, chosen_clips, noise_seeds
from trainables.stages.generation import VideoTensors, generate, history, load_frame_decoder, read_prompts


def run(task: StageTask) -> StageResult:
    """Write `videos.safetensors`: `ceiling`, `ceiling_plain` uint8 [n,F,H,W,3], `mean_latent` [F,H,W,3], `index` [n].

    `ceiling` is generated from the true latents and conditions; in `ceiling_plain` the VAE alone decodes the true
    latents. `mean_latent` is one video for all clips, generated from the mean latents and the mean condition of the
    training clips. `index` is the number of each clip in the data set.

    Raises:
        ValueError: A backbone cannot be loaded or does not fit the features, or the config selects no clip.
        NotFiniteError: The generator returned NaN or infinity.
    """
    device = pick_device("auto")
    prompts, _ = read_prompts(task, device=device)
    truth = _Truth(task)
    batches = generate(task, truth, prompts=prompts, device=device)
    decoder = load_frame_decoder(task, latent=truth.video[-2:], device=device)
    clips = len(truth.index)
    shapes = dict.fromkeys(("ceiling", "ceiling_plain"), (clips, *truth.video))
    path = task.context.output / "videos.safetensors"
    with VideoTensors(path, decoder, {**shapes, "mean_latent": truth.video}, index=truth.index) as file:
        for batch in batches:
            own = max(0, clips - batch.first)
            file.write("ceiling", batch.first, batch.latents[:own])
            file.write("ceiling_plain", batch.first, batch.plain[:own])
            for latents in batch.latents[own:]:
                file.write_single("mean_latent", latents)
    info = {"device": str(device), "clips": str(clips), "decoded_at_once": str(decoder.at_once)}
    return StageResult(history=history(task, len(truth)), info=info)


class _Truth:
    """The true features of the chosen clips, and after them the means of the training clips."""

    def __init__(self, task: StageTask) -> None:
        members = split_index(task)
        self._task = task
        self.index = chosen_clips(members, task.config.generator)
        """The number of each clip in the data set, [n]."""
        self._mean = {name: mean_of_rows(task, name, members["train"]) for name in ("condition", "latents")}
        self.video = tuple(self._mean["latents"].shape[1:])

    def __len__(self) -> int:
        return len(self.index) + 1

    def block(self, rows: slice) -> Fed:
        """Return the features of the videos `rows`."""
        index, seeds = self.index[rows], noise_seeds(self._task, self.index[rows])
        clips = [read_some(self._task, ("condition", "latents"), index, device=torch.device("cpu"))] if seeds else []
        features = {name: [several.features[name] for several in clips] for name in self._mean}
        if rows.stop > len(self.index):
            features = {name: [*tensors, self._mean[name]] for name, tensors in features.items()}
            seeds = (*seeds, derived_seed(self._task.seed, "generator", "mean_latent"))
        return Fed(torch.cat(features["condition"]), torch.cat(features["latents"]), seeds)
