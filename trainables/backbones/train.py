"""Trains the phantom's backbones again: `python -m trainables.backbones.train all --out DIR`.

The folder that comes out is laid out as the shipped one. Everything follows from `--seed` and `--steps`: on one
machine, the same two give the same weights.
"""

import argparse
import logging
from pathlib import Path

import torch

from trainables.backbones.diffusion import train_unet
from trainables.backbones.judges import train_image_classifier, train_video_classifier
from trainables.backbones.language import train_clip, train_text
from trainables.backbones.train_layers import train_layers
from trainables.backbones.vae import train_vae

TRAINING_STEPS = {
    "vae": 2800,
    "clip": 1000,
    "text": 600,
    "unet": 3600,
    "image_classifier": 1600,
    "video_classifier": 2000,
    "layers": 2000,
}
"""Optimiser steps of each, in the order in which they need one another."""


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=[*TRAINING_STEPS, "all"], nargs="?", default="all")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help=f"optimiser steps (default: {TRAINING_STEPS})")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)  # the sums of several threads come out differently from run to run
    for name in TRAINING_STEPS if arguments.which == "all" else (arguments.which,):
        steps = TRAINING_STEPS[name] if arguments.steps is None else arguments.steps
        train_backbone(name, arguments.out, seed=arguments.seed, steps=steps)


def train_backbone(name: str, out: Path, *, seed: int, steps: int) -> None:
    """Train one of `TRAINING_STEPS` into its sub-folder of `out`, where the ones before it lie."""
    diffusion = out / "stable_diffusion"
    if name == "vae":
        train_vae(diffusion / "vae", seed=seed, steps=steps)
    elif name == "clip":
        train_clip(out / "clip", seed=seed, steps=steps)
    elif name == "text":
        train_text(diffusion, out / "clip", seed=seed, steps=steps)
    elif name == "unet":
        train_unet(diffusion, seed=seed, steps=steps)
    elif name == "image_classifier":
        train_image_classifier(out / name, diffusion, seed=seed, steps=steps)
    elif name == "layers":
        train_layers(out / name, seed=seed, steps=steps)
    else:
        train_video_classifier(out / name, diffusion, seed=seed, steps=steps)


if __name__ == "__main__":
    main()
