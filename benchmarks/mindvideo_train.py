"""CPU seconds per step of the trained stages of `mindvideo_like`: the project's loop against a bare loop.

`python -m benchmarks.mindvideo_train [--steps 10]`. Both train the same network on the same random data with the same
loss and optimiser. The bare loop is what a user would write: draw rows, loss, backward, clip, step.
The ratio is that of the project's time to the bare loop's; it should be below 1.2.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from storage.memory import MemoryStore
from storage.runs import Checkpoints
from trainables.backbones.load import load_generator
from trainables.config.decoders import TrainConfig
from trainables.config.trial import TrialConfig, resolve
from trainables.context import Context
from trainables.descent import make_optimizer
from trainables.distributed import Forward
from trainables.loop import Job, train
from trainables.networks.cotrained import CotrainedNetwork, video_unet
from trainables.networks.fmri_encoder import sizes_of
from trainables.networks.fmri_tokens import TokensNetwork
from trainables.randomness import Streams
from trainables.stages.cotrain import CotrainLearner
from trainables.stages.decoding import SplitRows
from trainables.stages.premask import PremaskLearner
from trainables.stages.tokens import TokensLearner

VOXELS, WINDOW, CLIP_DIM, CONDITION, VIDEO = 900, 2, 64, (20, 64), (8, 4, 16, 16)
WARM_UP = 2
"""Steps that are not timed."""
AnyLearner: TypeAlias = PremaskLearner | TokensLearner | CotrainLearner
Build: TypeAlias = Callable[[TrialConfig, int, Job], AnyLearner]


def random_rows(count: int) -> SplitRows:
    """Return `count` clips of noise, with windows."""
    draw = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=draw)

    features = {
        "clip_image": noise(CLIP_DIM),
        "clip_text": noise(CLIP_DIM),
        "condition": noise(*CONDITION),
        "latents": noise(*VIDEO),
    }
    return SplitRows(torch.arange(count), noise(WINDOW, VOXELS), features)


def _tokens(config: TrialConfig) -> TokensNetwork:
    sizes = sizes_of(config.premask, voxels=VOXELS)
    return TokensNetwork(config.tokens, sizes, window=WINDOW, condition=CONDITION, clip_dim=CLIP_DIM)


def premask_learner(config: TrialConfig, rows: int, job: Job) -> AnyLearner:
    """Return the learner of the stage `premask`."""
    return PremaskLearner(config.premask, {"train": torch.randn(rows, VOXELS)}, job)


def tokens_learner(config: TrialConfig, rows: int, job: Job) -> AnyLearner:
    """Return the learner of the stage `tokens`."""
    clips, none = random_rows(rows), torch.full((rows,), -1)
    both = {"train": clips, "validation": clips}
    return TokensLearner(config.tokens, both, job, network=_tokens(config), following=none)


def cotrain_learner(config: TrialConfig, rows: int, job: Job) -> AnyLearner:
    """Return the learner of the stage `cotrain`."""
    diffusion = load_generator("phantom")
    section = config.cotrain.model_copy(update={"epoch_clips": rows})
    unet = video_unet(diffusion.unet, config.generator, section, frames=VIDEO[0])
    network = CotrainedNetwork(unet, _tokens(config), section)
    return CotrainLearner(section, {"train": random_rows(rows)}, job, network, diffusion.schedule)


LEARNERS: Mapping[str, Build] = {"premask": premask_learner, "tokens": tokens_learner, "cotrain": cotrain_learner}


class Timed:
    """A learner whose steps are timed after the warm-up, and that skips validation."""

    def __init__(self, learner: AnyLearner, steps: int) -> None:
        self._learner, self._steps, self._count, self._started = learner, steps, 0, 0.0
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._learner, name)

    def loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        """Return the learner's loss; look at the clock before the first timed and the last step."""
        if self._count == WARM_UP:
            self._started = time.process_time()
        if self._count == WARM_UP + self._steps:
            self.seconds = (time.process_time() - self._started) / self._steps
        self._count += 1
        return self._learner.loss(forward, rows, streams)

    def evaluate(self) -> dict[str, float]:
        """Return nothing of interest."""
        return {"monitor": 0.0}


def ours(stage: str, steps: int) -> float:
    """Return the CPU seconds per step of the project's loop."""
    with tempfile.TemporaryDirectory() as folder:
        learner, job = _made(stage, steps, Path(folder))
        timed = Timed(learner, steps)
        train(timed, job)
    return timed.seconds


def bare(stage: str, steps: int) -> float:
    """Return the CPU seconds per step of a bare loop."""
    with tempfile.TemporaryDirectory() as folder:
        learner, job = _made(stage, steps, Path(folder))
    parameters: list[nn.Parameter] = [p for p in learner.model.parameters() if p.requires_grad]
    optimizer, streams = make_optimizer(parameters, job.config), job.streams(1)
    learner.begin_epoch(streams)
    learner.model.train()
    started = 0.0
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            started = time.process_time()
        rows = torch.randint(learner.rows, (job.config.batch_size,))
        optimizer.zero_grad()
        learner.loss(learner.model, rows, streams).backward()  # type: ignore[no-untyped-call]
        if job.config.clip_norm is not None:
            nn.utils.clip_grad_norm_(parameters, job.config.clip_norm)
        optimizer.step()
    return (time.process_time() - started) / steps


def _made(stage: str, steps: int, folder: Path) -> tuple[AnyLearner, Job]:
    torch.manual_seed(0)
    config = resolve({"system": "mindvideo_like"})
    section: TrainConfig = getattr(config, stage).train.model_copy(update={"epochs": 1, "device": "cpu"})
    context = Context(folder, Checkpoints(MemoryStore(), stage, cache=folder))
    job = Job(stage, 0, section, width=1, monitor="monitor", goal="min", context=context)
    return LEARNERS[stage](config, section.batch_size * (steps + WARM_UP + 1), job), job


def main() -> None:
    """Print a line for each stage: the smallest of three measurements of each side, in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10)
    steps = parser.parse_args().steps
    for stage in LEARNERS:
        pairs = [(ours(stage, steps), bare(stage, steps)) for _ in range(3)]
        project, loop = (min(side) for side in zip(*pairs, strict=True))
        print(f"{stage}: {project:.3f} CPU s per step, bare loop {loop:.3f} s, ratio {project / loop:.2f}")


if __name__ == "__main__":
    main()
