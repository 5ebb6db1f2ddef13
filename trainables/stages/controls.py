"""The controls stage: videos of the same generator from the true features, and from the mean of the training clips.

All trials with the same generator share it. Controls that need no generator are computed by the evaluate stage.
"""

import torch
from safetensors.torch import save_file

from trainables.context import StageResult, StageTask
from trainables.loop import pick_device
from trainables.randomness import derived_seed
from trainables.stages.decoding import read_rows
from trainables.stages.feeding import Fed, chosen, noise_seeds
from trainables.stages.generation import decode_videos, generate, load_vae_decoder, read_prompts


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
    rows = read_rows(task, ("condition", "latents"), device=torch.device("cpu"))
    clips = chosen(rows, task.config.generator)
    training = rows["train"].features
    fed = Fed(
        torch.cat((clips.features["condition"], training["condition"].mean(0, keepdim=True))),
        torch.cat((clips.features["latents"], training["latents"].mean(0, keepdim=True))),
        (*noise_seeds(task, clips.index), derived_seed(task.seed, "generator", "mean_latent")),
    )
    generated = generate(task, fed, prompts=prompts, device=device)
    vae = load_vae_decoder(task, device=device)
    rendered = decode_videos(vae, generated.latents)
    plain = decode_videos(vae, clips.features["latents"])
    tensors = {"ceiling": rendered[:-1], "ceiling_plain": plain, "mean_latent": rendered[-1], "index": clips.index}
    save_file(tensors, task.context.output / "videos.safetensors")
    return StageResult(history=generated.history, info={"device": str(device), "clips": str(len(clips))})
