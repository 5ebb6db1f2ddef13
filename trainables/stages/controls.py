"""The controls stage: what the same generator makes of the truth, and of the mean of the training clips.

All trials with the same generator share it. The controls that need no generator are made where videos are judged.
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

    The ceiling are true latents and conditions; in `ceiling_plain` the VAE alone decodes them. `mean_latent` is one
    video for all clips, of the mean latents and the mean condition of the training clips.

    Raises:
        ValueError: A backbone cannot be loaded or does not fit the features, or no clip is asked for.
        NotFiniteError: The generator made NaN or infinity.
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
    made = generate(task, fed, prompts=prompts, device=device)
    vae = load_vae_decoder(task, device=device)
    drawn = decode_videos(vae, made.latents)
    plain = decode_videos(vae, clips.features["latents"])
    tensors = {"ceiling": drawn[:-1], "ceiling_plain": plain, "mean_latent": drawn[-1], "index": clips.index}
    save_file(tensors, task.context.output / "videos.safetensors")
    return StageResult(history=made.history, info={"device": str(device), "clips": str(len(clips))})
