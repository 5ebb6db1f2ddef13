"""The verb `evaluate`: every kind of bad input is named, and the rest is judged."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification

from platform.evaluate import main
from tests.platform.made_up_videos import gif, judged, means, moving, save
from trainables.backbones.sources import PHANTOM


def truncated(folder: Path) -> None:
    gif(folder / "bad.gif", moving(0), duration=100)
    (folder / "bad.gif").write_bytes((folder / "bad.gif").read_bytes()[:-300])


def transparent(folder: Path) -> None:
    (folder / "bad").mkdir()
    for index, frame in enumerate(moving(0)):
        Image.fromarray(np.concatenate([frame, np.full((32, 32, 1), 9, np.uint8)], axis=-1)).save(
            folder / "bad" / f"{index}.png"
        )


def black(folder: Path) -> None:
    save(folder, "bad", np.zeros((6, 32, 32, 3), np.uint8))


def grey_frame(folder: Path) -> None:
    clip = moving(0)
    clip[3] = 90
    save(folder, "bad", clip)


def other_length(folder: Path) -> None:
    gif(folder / "bad.gif", moving(0), duration=500)


BAD: dict[str, tuple[Callable[[Path], object], str, bool]] = {
    "truncated": (truncated, "truncated", False),
    "corrupt": (lambda folder: (folder / "bad.mp4").write_bytes(b"no video"), "cannot be decoded", False),
    "one frame": (
        lambda folder: save(folder, "bad", moving(0, frames=1)),
        r"has 1 frame\(s\), but the common number is 6",
        False,
    ),
    "proportions": (
        lambda folder: save(folder, "bad", moving(0)[:, :24]),
        "24x32 has another aspect ratio than the common size 32x32",
        False,
    ),
    "transparent": (transparent, "transparent pixels", False),
    "no truth": (lambda folder: save(folder, "stray", moving(0)), "there is no truth of this name", False),
    "twice": (
        lambda folder: (save(folder, "bad", moving(0)), gif(folder / "bad.gif", moving(0), duration=100)),
        "several files",
        False,
    ),
    "black": (black, "all pixels of the reconstruction are black", True),
    "grey frame": (
        grey_frame,
        "hue Pearson is undefined: a single hue all over the truth or the prediction in frame 3",
        True,
    ),
    "other length": (other_length, r"lasts 3.00 s, but its truth 1.50 s", True),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_named_and_the_rest_is_evaluated(
    name: str, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    truth, ours = folders
    gif(truth / "bad.gif", moving(3), duration=250)
    make, reason, evaluated = BAD[name]
    make(ours)
    code, report = judged(capsys, truth, ours)
    assert code == 1
    mine = [
        failure
        for failure in report["failures"]
        if failure["clip"] in ("bad", "stray") and re.search(reason, failure["reason"])
    ]
    assert mine, report["failures"]
    assert all(Path(failure["file"]).exists() and failure["evaluated"] is evaluated for failure in mine)
    assert means(report)["ssim"]["clips"] == 3 + evaluated
    assert all(row["mean"] is not None and np.isfinite(row["mean"]) for row in means(report).values())
    assert judged(capsys, truth, ours, "--allow-failures")[0] == 0


def test_a_truth_that_cannot_be_used_is_a_failure_too(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    save(folders[0], "clip1", moving(1, frames=2))
    code, report = judged(capsys, *folders)
    assert code == 1
    assert [(f["system"], f["clip"]) for f in report["failures"]] == [("truth", "clip1")]
    assert means(report)["ssim"]["clips"] == 2


def test_undefined_values_are_null_with_their_reason(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    black_clip = save(folders[1], "clip0", np.zeros((6, 32, 32, 3), np.uint8))
    _, report = judged(capsys, *folders)
    table = pq.read_table(Path(report["out"]) / "per_clip.parquet").to_pylist()
    undefined = [row for row in table if row["value"] is None and row["control"] == ""]
    assert {row["clip"] for row in undefined} == {"clip0"}
    assert {row["metric"] for row in undefined} == {"hue_cos_legacy", "hue_cos", "hue_pcc", "hue_circular"}
    assert all("frames 0, 1, 2, 3, 4, 5" in row["reason"] for row in undefined)
    assert means(report)["motion_energy"]["clips"] == 3, "a black reconstruction counts 0"
    assert means(report)["hue_cos"]["clips"] == 2
    assert str(black_clip) in Path(report["out"], "scores.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "add FOLDER or --system NAME=FOLDER"),
        (["{tmp}/nothing"], "nothing: there is no such folder"),
        (["{tmp}/empty"], "empty: holds no video; GIF, MP4, folders of PNG or .npy"),
        (
            ["{tmp}/ours"],
            "no video shows truth and reconstruction side by side with black padding; give --truth FOLDER",
        ),
        (["{tmp}/ours", "--truth", "{tmp}/strangers"], "pairs have one name, but none here is in"),
        (["{tmp}/ours", "--system", "{tmp}/ours"], "must be NAME=FOLDER"),
        (["{tmp}/ours", "--system", "ours={tmp}/ours"], "systems must have different names"),
        (
            ["{tmp}/ours", "--truth", "{tmp}/truth", "--resolution", "4"],
            "4x4 is too small; SSIM needs 7x7",
        ),
    ],
)
def test_requests_that_make_no_sense_start_nothing(
    arguments: list[str], message: str, folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    save(tmp_path / "strangers", "other", moving(0))
    code = main([*(argument.format(tmp=tmp_path) for argument in arguments), "--out", str(tmp_path / "out")])
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["--resolution", "0"], ["--resolution", "ax3"], ["--frames", "-1"]])
def test_options_of_the_wrong_kind_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["folder", *arguments]) == 2
    assert "must be a whole number of 1 or more" in capsys.readouterr().err


def test_a_classifier_gives_two_way_accuracy_and_missing_weights_are_a_failure(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    config: Any = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "num_labels": 30,
    }
    ViTForImageClassification(ViTConfig(image_size=32, patch_size=8, **config)).save_pretrained(tmp_path / "vit")
    (tmp_path / "vit" / "preprocessor_config.json").write_text(
        '{"size": 32, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.2, 0.2, 0.2]}'
    )
    code, report = judged(
        capsys, *folders, "--image-classifier", tmp_path / "vit", "--clip", tmp_path / "no/such/folder"
    )
    assert code == 1
    assert means(report)["two_way_i"]["mean"] > 0.75
    assert "clip_pcc" not in means(report)
    assert [f["file"] for f in report["failures"]] == [str(tmp_path / "no/such/folder")]
    assert report["failures"][0]["reason"].startswith(f"--clip: '{tmp_path}/no/such/folder' is no folder here")
    assert "--clip: " in report["failures"][0]["reason"]


def test_damaged_weights_are_a_failure_too(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(PHANTOM / "clip", tmp_path / "clip")
    (tmp_path / "clip" / "model.safetensors").write_bytes(b"no weights at all")
    code, report = judged(capsys, *folders, "--vifi", tmp_path / "clip", "--clip", "phantom")
    assert code == 1
    assert [f["file"] for f in report["failures"]] == [str(tmp_path / "clip")]
    assert report["failures"][0]["reason"].startswith("--vifi: ")
    assert means(report)["ssim"]["clips"] == 3
    assert "vifi" not in means(report)


def test_a_tracking_server_that_does_not_answer_is_told_before_anything_is_computed(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [folders[1], "--truth", folders[0], "--out", tmp_path / "out", "--tracking", "http://127.0.0.1:1"]
    assert main(list(map(str, arguments))) == 2
    assert "--tracking: http://127.0.0.1:1 does not answer" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_cannot_be_made_is_told_before_anything_is_computed(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file = folders[0] / "clip0.npy"
    assert main([str(folders[1]), "--truth", str(folders[0]), "--out", str(file), "--no-tracking"]) == 2
    assert f"--out {file}: cannot be created" in capsys.readouterr().err
