"""Measures the backbones on phantom clips that none was trained on: `python -m trainables.backbones.evaluate`."""

import argparse
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from trainables.backbones.classifiers import load_image_classifier, load_video_classifier
from trainables.backbones.judges import IMAGE, VIDEO_JUDGE, Judge, coded_frames
from trainables.backbones.load import ClipModel, Vae, load_clip, load_vae
from trainables.backbones.material import HELD_OUT, LabelledClips, draw_clips, pixels
from trainables.backbones.vae import reconstruction_psnr


@dataclass(frozen=True)
class Score:
    """One number with what to hold it against."""

    name: str
    value: float
    chance: str


def main() -> None:
    """Read the command line, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stable-diffusion", default="phantom", help="phantom, a folder or a hub name")
    parser.add_argument("--clip", default="phantom", help="phantom, a folder or a hub name")
    parser.add_argument("--image-classifier", default="phantom", help="phantom, or a folder with the same classes")
    parser.add_argument("--video-classifier", default="phantom", help="phantom, or a folder with the same classes")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    vae, clip = load_vae(arguments.stable_diffusion), load_clip(arguments.clip)
    judges = arguments.image_classifier, arguments.video_classifier
    scores = (
        *evaluate(vae, clip, clips=arguments.clips, seed=arguments.seed),
        *evaluate_judges(vae, *judges, clips=arguments.clips, seed=arguments.seed),
    )
    table = Table("measure", "value", "for comparison", title=f"{arguments.clips} held-out phantom clips")
    for score in scores:
        table.add_row(score.name, f"{score.value:.3f}", score.chance)
    Console().print(table)


def evaluate(vae: Vae, clip: ClipModel, *, clips: int, seed: int) -> tuple[Score, ...]:
    """Return reconstruction and retrieval scores on `clips` held-out clips with distinct captions."""
    material = draw_clips(HELD_OUT, seed=seed, count=clips, frames=8, distinct=True)
    frames = pixels(material.clips[:, 0])
    blurred = torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(frames, 4), scale_factor=4.0)
    error = (blurred - frames).square().mean(dim=(1, 2, 3))
    coarse = float((10 * torch.log10(4 / error)).mean())
    image, text = retrieval(clip, material)
    guess = f"{1 / clips:.3f} by chance"
    return (
        Score("VAE: PSNR of first frames (dB)", reconstruction_psnr(vae.model, frames), f"{coarse:.3f} of 4x4 blocks"),
        Score("VAE: standard deviation of scaled latents", float(vae.encode(frames).std()), "1 is meant"),
        Score("CLIP: image to text, top 1", image, guess),
        Score("CLIP: text to image, top 1", text, guess),
    )


def evaluate_judges(vae: Vae, image: str, video: str, *, clips: int, seed: int) -> tuple[Score, ...]:
    """Return how often the two classifiers name held-out clips rightly, as they are and after the VAE."""
    material = draw_clips(HELD_OUT, seed=seed, count=clips, frames=8)
    image_model, video_model = load_image_classifier(image), load_video_classifier(video, frames=8)
    scores = []
    for state, shown in (
        ("", material.clips),
        (", after the VAE", np.stack([coded_frames(vae, c) for c in material.clips])),
    ):
        stacked = torch.from_numpy(shown)
        predicted = torch.stack([image_model(clip) for clip in stacked]).argmax(dim=-1)
        scores.append(_accuracy(f"image classifier: accuracy{state}", predicted, IMAGE, material))
        predicted = torch.cat([video_model(clip) for clip in stacked]).argmax(dim=-1)[:, None]
        scores.append(_accuracy(f"video classifier: accuracy{state}", predicted, VIDEO_JUDGE, material))
    return tuple(scores)


def _accuracy(name: str, predicted: Tensor, judge: Judge, material: LabelledClips) -> Score:
    """Return the share of right answers among `named` [clips, answers]."""
    is_correct = predicted == torch.from_numpy(judge.truth(material.factors))[:, None]
    return Score(name, is_correct.float().mean().item(), f"{1 / len(judge.labels):.3f} by chance")


def retrieval(clip: ClipModel, material: LabelledClips) -> tuple[float, float]:
    """Return top-1 accuracy of image to text and of text to image, embeddings of images being means over frames."""
    stacked = torch.from_numpy(material.clips)
    images = torch.stack([clip.images(frames).mean(dim=0) for frames in stacked])
    similarity = _unit(images) @ _unit(clip.texts(material.captions)).T
    truth = torch.arange(len(similarity))
    hits = [(similarity.argmax(dim=dim) == truth).float().mean().item() for dim in (1, 0)]
    return hits[0], hits[1]


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)


if __name__ == "__main__":
    main()
