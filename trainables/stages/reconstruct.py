"""The reconstruct stage: generates videos from decoded features."""

from trainables.context import StageResult, StageTask
from trainables.loop import pick_device
from trainables.stages.feeding import Feeder
from trainables.stages.generation import VideoTensors, generate, history, load_frame_decoder, read_prompts


def run(task: StageTask) -> StageResult:
    """Write `videos.safetensors`: `videos` and `plain` uint8 [n,F,H,W,3], `index` int64 [n].

    `plain` is the decoded latents, decoded by the VAE alone. `index` is the number of each clip in the data set;
    validation clips come first. Clips are made, and videos written, some at a time.

    Raises:
        ValueError: A backbone cannot be loaded or does not fit the features, or the config selects no clip.
        NotFiniteError: The generator returned NaN or infinity.
    """
    device = pick_device("auto")
    prompts, nothing = read_prompts(task, device=device)
    feeder = Feeder(task, nothing=nothing, device=device)
    batches = generate(task, feeder, prompts=prompts, device=device)
    decoder = load_frame_decoder(task, latent=feeder.video[-2:], device=device)
    shapes = dict.fromkeys(("videos", "plain"), (len(feeder), *feeder.video))
    with VideoTensors(task.context.output / "videos.safetensors", decoder, shapes, index=feeder.index) as file:
        for batch in batches:
            file.write("videos", batch.first, batch.latents)
            file.write("plain", batch.first, batch.plain)
    info = {"device": str(device), "clips": str(len(feeder)), "decoded_at_once": str(decoder.at_once)}
    return StageResult(history=history(task, len(feeder)), info=info)
