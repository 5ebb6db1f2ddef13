"""The reconstruct stage: generates videos from decoded features."""

from trainables.context import StageResult, StageTask
from trainables.loop import pick_device
from trainables.stages.feeding import feed
from trainables.stages.generation import generate, load_vae_decoder, read_prompts, write_videos


def run(task: StageTask) -> StageResult:
    """Write `videos.safetensors`: `videos` and `plain` uint8 [n,F,H,W,3], `index` int64 [n].

    `plain` is the decoded latents, decoded by the VAE alone. `index` is the number of each clip in the data set;
    validation clips come first.

    Raises:
        ValueError: A backbone cannot be loaded or does not fit the features, or the config selects no clip.
        NotFiniteError: The generator returned NaN or infinity.
    """
    device = pick_device("auto")
    prompts, nothing = read_prompts(task, device=device)
    fed, index = feed(task, nothing=nothing, device=device)
    generated = generate(task, fed, prompts=prompts, device=device)
    vae = load_vae_decoder(task, device=device)
    latents = {"videos": generated.latents, "plain": fed.latents}
    write_videos(task.context.output / "videos.safetensors", vae, latents, index=index)
    return StageResult(history=generated.history, info={"device": str(device), "clips": str(len(index))})
