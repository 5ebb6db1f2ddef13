"""The controls stage: videos of the same generator from the true features, and from the mean of the training clips.

All trials with the same generator share it. Controls that need no generator are computed by the evaluate stage.
"""

import torch

from trainables.context import StageResult, StageTask
from trainables.loop import pick_device
from trainables.randomness import derived_seed
from trainables.stages.decoding import mean_of_rows, read_some, split_index
from trainables.stages.feeding import Fed, chosen_clips, noise_seeds
from trainables.stages.generation import generate, load_vae_decoder, read_prompts, write_videos


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
    members = split_index(task)
    index = chosen_clips(members, task.config.generator)
    clips = read_some(task, ("condition", "latents"), index, device=torch.device("cpu"))
    mean = {name: mean_of_rows(task, name, members["train"]) for name in clips.features}
    fed = Fed(
        torch.cat((clips.features["condition"], mean["condition"])),
        torch.cat((clips.features["latents"], mean["latents"])),
        (*noise_seeds(task, index), derived_seed(task.seed, "generator", "mean_latent")),
    )
    generated = generate(task, fed, prompts=prompts, device=device)
    vae = load_vae_decoder(task, device=device)
    latents = {"ceiling": generated.latents[:-1], "ceiling_plain": clips.features["latents"]}
    single = {"mean_latent": generated.latents[-1]}
    write_videos(task.context.output / "videos.safetensors", vae, latents, index=index, single=single)
    return StageResult(history=generated.history, info={"device": str(device), "clips": str(len(clips))})
