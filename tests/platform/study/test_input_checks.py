"""What a plan says of pretrained networks."""

from pathlib import Path

import pytest

from platform.study.sweep_file import load_study

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
