"""The phantom's classifiers: small, trained the same way each time, and right about clips they never saw."""

from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.backbones.classifiers import load_image_classifier, load_video_classifier
from trainables.backbones.evaluate import evaluate_judges
from trainables.backbones.judges import IMAGE, VIDEO_JUDGE, degrade, train_image_classifier
from trainables.backbones.load import load_vae
from trainables.backbones.material import HELD_OUT, draw_clips
from trainables.backbones.sources import PHANTOM

JUDGES = ("image_classifier", "video_classifier")


def test_all_that_is_shipped_is_small() -> None:
    sizes = {name: sum(f.stat().st_size for f in (PHANTOM / name).rglob("*") if f.is_file()) for name in JUDGES}
    assert sum(sizes.values()) < 3_000_000
    assert sum(file.stat().st_size for file in PHANTOM.rglob("*") if file.is_file()) < 12_000_000


@pytest.mark.long
def test_they_name_what_held_out_clips_show() -> None:
    # 400 clips gave 0.979, 0.897, 0.958 and 0.885; floors lie three standard errors of 64 clips below.
    scores = {s.name: s.value for s in evaluate_judges(load_vae("phantom"), "phantom", "phantom", clips=64, seed=1)}
    assert scores["image classifier: accuracy"] >= 0.92
    assert scores["video classifier: accuracy"] >= 0.78
    assert scores["image classifier: accuracy, after the VAE"] >= 0.88
    assert scores["video classifier: accuracy, after the VAE"] >= 0.76


def test_classes_are_named_as_captions_name_them() -> None:
    material = draw_clips(HELD_OUT, seed=2, count=200, frames=2)
    for judge, model in (
        (IMAGE, load_image_classifier("phantom").model),
        (VIDEO_JUDGE, load_video_classifier("phantom", frames=8).model),
    ):
        assert tuple(model.config.id2label.values()) == judge.labels
        names = [model.config.id2label[int(i)] for i in judge.truth(material.factors)]
        for name, caption in zip(names, material.captions, strict=True):
            assert name.replace(" moving", "") in caption.replace(" drifting", "").replace(" moving", "")


def test_degraded_clips_stay_images_and_most_stay_as_they_are() -> None:
    clips = draw_clips(HELD_OUT, seed=0, count=60, frames=2).clips
    shown = degrade(clips, np.random.default_rng(0))
    assert shown.shape == (60, 2, 3, 64, 64)
    assert -1.0 <= float(shown.min()) <= float(shown.max()) <= 1.0
    plain = torch.from_numpy(clips).permute(0, 1, 4, 2, 3).float() / 127.5 - 1.0
    same = (shown - plain).abs().amax(dim=(1, 2, 3, 4)) < 1e-6
    assert same.float().mean() == pytest.approx(0.75**3, abs=0.15)


def test_training_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("first", "second"):
        train_image_classifier(tmp_path / name, PHANTOM / "stable_diffusion", seed=3, steps=2, pool=8)
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second"))
    assert first == second
