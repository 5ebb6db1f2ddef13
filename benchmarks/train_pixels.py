"""Training steps of decoders of pixels: ours against a bare loop of the same networks.

`python -m benchmarks.train_pixels [--steps 10] [--repeats 3]`: CPU seconds per step of the stages `gan`, `see` and
`unsee` at the phantom's sizes, on random clips and fMRI, with one thread. The bare loop has the networks, the losses
and torch's Adam, and nothing else: no streams, no checks, no checkpoints, data as floats in memory. CPU seconds and not
seconds of the clock, so that other work on the machine matters less; the two take turns, and the smallest of each
counts.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from storage.memory import MemoryStore
from storage.runs import Checkpoints
from trainables.backbones.layers import load_layers
from trainables.config.trial import TrialConfig, resolve
from trainables.context import Context
from trainables.loop import Job, train
from trainables.networks.clip_encoder import ClipEncoder
from trainables.networks.frame_decoder import FrameShape, FrozenCycle
from trainables.networks.gan import Gan, VideoShape
from trainables.networks.spectral import iterate
from trainables.stages.gan import GanLearner
from trainables.stages.pixel_rows import PixelRows
from trainables.stages.see import SeeLearner, answer_loss
from trainables.stages.unsee import Unpaired, UnseeLearner

VOXELS, FRAMES, SIDE = 900, 8, 64
STAGES = ("gan", "see", "unsee")
WARM_UP = 1
Step = Callable[[int], object]


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", default=[*STAGES], help=f"of {', '.join(STAGES)}; default: all")
    parser.add_argument("--steps", type=int, default=10, help="steps that are timed at a time")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("stage   ours   bare   ratio   (CPU seconds per step)")
    for stage in arguments.stages:
        times = {"ours": [], "bare": []}  # type: dict[str, list[float]]
        for _ in range(arguments.repeats):
            times["ours"].append(ours(stage, arguments.steps))
            times["bare"].append(bare(stage, arguments.steps))
        own, other = min(times["ours"]), min(times["bare"])
        print(f"{stage:6} {own:6.3f} {other:6.3f} {own / other:7.3f}", flush=True)


def _config() -> TrialConfig:
    return resolve({f"{stage}.train": {"epochs": 1, "device": "cpu"} for stage in STAGES})


def random_rows(count: int) -> PixelRows:
    """Return `count` clips of noise."""
    rng = np.random.default_rng(0)
    clips = rng.integers(256, size=(count, FRAMES, SIDE, SIDE, 3), dtype=np.uint8)
    fmri = torch.from_numpy(rng.normal(size=(count, VOXELS)).astype(np.float32))
    return PixelRows(np.arange(count), fmri, clips)


def ours(stage: str, steps: int) -> float:
    """Return the CPU seconds per step of the project's loop."""
    config = _config()
    section: Any = getattr(config, stage).train
    rows = random_rows(section.batch_size * (steps + WARM_UP))
    with tempfile.TemporaryDirectory() as folder:
        context = Context(Path(folder), Checkpoints(MemoryStore(), stage, cache=Path(folder)))
        job = Job(stage, 0, section, width=1, monitor="monitor", goal="min", context=context)
        learner = _learner(stage, config, {"train": rows, "validation": rows}, job)
        times: list[float] = []
        loss = learner.loss

        def timed(*inputs: Any) -> Tensor:
            times.append(time.process_time())
            value: Tensor = loss(*inputs)
            return value

        learner.loss, learner.evaluate = timed, lambda: {"monitor": 0.0}
        train(learner, job, learner.opponents() if stage == "gan" else ())
    return (times[-1] - times[WARM_UP - 1]) / (len(times) - WARM_UP)


def _learner(stage: str, config: TrialConfig, rows: dict[str, PixelRows], job: Job) -> Any:
    if stage == "gan":
        return GanLearner(config.gan, rows, job)
    network = load_layers("phantom")
    if stage == "see":
        return SeeLearner(config.see, network, rows, job)
    cycle = FrozenCycle(config.unsee, network, shape=FrameShape(FRAMES, SIDE), voxels=VOXELS)
    return UnseeLearner(config.unsee, cycle, rows, Unpaired(rows["train"], None))


def bare(stage: str, steps: int) -> float:
    """Return the CPU seconds per step of a loop of the same networks and losses."""
    config = _config()
    batch = getattr(config, stage).train.batch_size
    rows = random_rows(batch * (steps + WARM_UP))
    frames = torch.from_numpy(rows.clips).permute(0, 1, 4, 2, 3).float() / 255.0
    step = {"gan": _bare_gan, "see": _bare_see, "unsee": _bare_unsee}[stage](config, rows.fmri, frames, batch)
    times = []
    for number in range(steps + WARM_UP):
        times.append(time.process_time())
        step(number)
    return (time.process_time() - times[WARM_UP]) / steps


def _bare_gan(config: TrialConfig, fmri: Tensor, frames: Tensor, batch: int) -> Step:
    gan = Gan(config.gan, voxels=VOXELS, shape=VideoShape(FRAMES, SIDE))
    own = torch.optim.Adam(gan.generator.parameters(), lr=5e-4, betas=(0.5, 0.999), fused=True)
    others = torch.optim.Adam(gan.discriminators.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)

    def step(number: int) -> None:
        part = slice(number * batch, (number + 1) * batch)
        real, answer = frames[part].transpose(1, 2) * 2 - 1, fmri[part]
        noise, frame = torch.randn(batch, config.gan.noise), torch.randint(FRAMES, (batch,))
        gan.discriminators.requires_grad_(True)
        iterate(gan.discriminators)
        true, false = gan.judge(real, answer, noise, frame).unbind(1)
        others.zero_grad()
        (F.softplus(-true) + F.softplus(false)).sum(1).mean().backward()  # type: ignore[no-untyped-call]
        others.step()
        gan.discriminators.requires_grad_(False)
        made, scores = gan(answer, noise, frame)
        own.zero_grad()
        (100 * (made - real).abs().mean() + F.softplus(-scores).sum(1).mean()).backward()
        own.step()

    return step


def _bare_see(config: TrialConfig, fmri: Tensor, frames: Tensor, batch: int) -> Step:
    encoder = ClipEncoder(config.see, load_layers("phantom"), frames=FRAMES, voxels=VOXELS)
    adam = torch.optim.Adam(encoder.parameters(), lr=1e-3, fused=True)

    def step(number: int) -> None:
        part = slice(number * batch, (number + 1) * batch)
        adam.zero_grad()
        answer_loss(encoder(frames[part]), fmri[part], cosine=config.see.cosine).backward()  # type: ignore[no-untyped-call]
        adam.step()

    return step


def _bare_unsee(config: TrialConfig, fmri: Tensor, frames: Tensor, batch: int) -> Step:
    cycle = FrozenCycle(config.unsee, load_layers("phantom"), shape=FrameShape(FRAMES, SIDE), voxels=VOXELS)
    adam = torch.optim.Adam(cycle.parameters(), lr=1e-3, fused=True)

    def step(number: int) -> None:
        rows = torch.cat((torch.arange(number * batch, (number + 1) * batch), torch.randint(len(fmri), (batch,))))
        paired, unpaired = cycle(fmri[rows], frames[rows]).split(batch)
        adam.zero_grad()
        (paired.mean() + unpaired.mean()).backward()
        adam.step()

    return step


if __name__ == "__main__":
    main()
