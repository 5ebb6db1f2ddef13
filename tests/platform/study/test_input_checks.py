"""What a plan says of pretrained networks."""

from pathlib import Path

import pytest

from platform.study.sweep_file import load_study
from tests.trainables.prepared.labs import prepare_rows, rows_lab

TEXT = """\
target: semantic.loss
trials: 1
space: {semantic.train.lr: {log_uniform: [0.001, 0.01]}}
base: {backbones.clip: %s}
"""


@pytest.mark.parametrize(
    ("source", "warned"),
    [
        ("phantom", False),
        ("openai/clip-vit-base-patch32", True),
        ("openai/clip@main", True),
        ("openai/clip@0a1b2c3", False),
    ],
)
def test_networks_of_the_hub_without_a_revision_are_warned_of(
    source: str, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "clip.yaml"
    path.write_text(TEXT % source)
    load_study(path)
    assert (f"backbones.clip: {source} names no commit" in caplog.text) == warned


@pytest.mark.parametrize(("target", "warned"), [("evaluate.ssim", True), ("semantic.loss", False)])
def test_judges_that_know_the_phantom_alone_are_warned_of_on_other_videos(
    target: str, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = prepare_rows(rows_lab(tmp_path / "lab"), tmp_path / "set").folder
    path = tmp_path / "judged.yaml"
    path.write_text(TEXT.replace("semantic.loss", target) % "phantom")
    settings = ["generator.validation_clips=2"]
    load_study(path, settings=settings)
    assert "trained on the phantom's clips" not in caplog.text
    load_study(
        path, settings=[*settings, "dataset.kind=prepared", f"dataset.path={data}", "evaluate.vifi=org/vifi@0a1b2c3"]
    )
    message = (
        "evaluate.image_classifier, evaluate.video_classifier, evaluate.clip: phantom, a small network that was trained"
    )
    assert (message in caplog.text) == warned
