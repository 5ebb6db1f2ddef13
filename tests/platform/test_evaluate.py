"""The verb `evaluate`: published numbers reproduced, every kind of bad input answered, every output written."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification

from platform.evaluate import main
from trainables.backbones.sources import PHANTOM
from trainables.metrics.video import VIDEO_METRICS

Clip = NDArray[np.uint8]
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "clips"
COLUMNS = {
    "ssim": ("", "ssim", 1e-4),
    "psnr": ("", "psnr", 1e-4),
    "hue_cos_bgr": ("", "hue_cos_legacy", 1e-4),
    "hue_cos_rgb": ("", "hue_cos", 1e-4),
    "hue_pearson_rgb": ("", "hue_pcc", 1e-4),
    "epe_bgr2gray": ("", "epe_legacy", 1e-3),
    "epe_rgb2gray": ("", "epe", 1e-3),
    "epe_static_rgb2gray": ("still", "epe", 1e-3),
}


def moving(seed: int, *, frames: int = 6, size: int = 32) -> Clip:
    """Coloured blocks that drift to the right."""
    blocks = np.random.default_rng(seed).integers(40, 256, (size // 8, size // 8, 3), dtype=np.uint8)
    picture = blocks.repeat(8, axis=0).repeat(8, axis=1)
    return np.stack([np.roll(picture, 2 * t, axis=1) for t in range(frames)])


def save(folder: Path, name: str, clip: NDArray[Any]) -> Path:
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{name}.npy", clip, allow_pickle=False)
    return folder / f"{name}.npy"


def gif(path: Path, clip: Clip, *, duration: int) -> Path:
    pictures = [Image.fromarray(frame) for frame in clip]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=duration)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three true clips, and reconstructions that resemble them."""
    for seed in range(3):
        save(tmp_path / "truth", f"clip{seed}", moving(seed))
        save(tmp_path / "ours", f"clip{seed}", moving(seed) // 2 + moving(seed + 10) // 2)
    return tmp_path / "truth", tmp_path / "ours"


def evaluate(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    code = main([*map(str, arguments), "--json", "--no-tracking"])
    return code, json.loads(capsys.readouterr().out)


def judged(capsys: pytest.CaptureFixture[str], truth: Path, ours: Path, *more: object) -> tuple[int, dict[str, Any]]:
    return evaluate(capsys, ours, "--truth", truth, "--out", ours.parent / "out", *more)


def means(report: dict[str, Any], system: str = "ours", control: str = "") -> dict[str, Any]:
    return {row["metric"]: row for row in report["rows"] if (row["system"], row["control"]) == (system, control)}


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is absent")
@pytest.mark.parametrize("folder", ["mindvideo", "mindanimator"])
def test_published_clips_have_their_reference_values(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = evaluate(capsys, SHARED / folder, "--out", tmp_path, "--legacy-epe")
    values = {
        (row["control"], row["clip"], row["metric"]): row["value"]
        for row in pq.read_table(tmp_path / "per_clip.parquet").to_pylist()
    }
    with (SHARED / "reference_metrics.csv").open(encoding="utf-8") as file:
        references = [row for row in csv.DictReader(file) if list(SHARED.glob(f"{folder}/{row['clip']}.gif"))]
    assert len(references) == len(list((SHARED / folder).glob("*.gif"))) > 0
    for row in references:
        assert (report["chosen"]["height"], report["chosen"]["frames"]) == (int(row["size"]), int(row["frames"]))
        for column, (control, metric, tolerance) in COLUMNS.items():
            assert values[control, row["clip"], metric] == pytest.approx(float(row[column]), abs=tolerance), (
                row["clip"],
                column,
            )
    assert code == 0


def test_every_output_is_written(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [folders[1], "--truth", folders[0], "--out", tmp_path / "out", "--no-tracking"]
    assert main(list(map(str, arguments))) == 0
    shown = capsys.readouterr().out
    assert "32x32 (the smallest usual native one), 6 frames" in " ".join(shown.split())
    assert "SSIM" in shown
    assert "chance is 0.75, not 0.5" in " ".join(shown.split())
    markdown = (tmp_path / "out" / "scores.md").read_text()
    assert "| metric | chance | clips | ours | ours: first frame held | ours: other clip's truth |" in markdown
    latex = (tmp_path / "out" / "scores.tex").read_text()
    assert r"\toprule" in latex
    assert not re.search(r"(?<!\\)[_%#]", latex.replace("% needs", ""))
    page = (tmp_path / "out" / "page.html").read_text()
    assert page.count("<article>") == 3
    assert page.count('alt="truth, clip') == page.count('alt="ours, clip') == 3
    assert "ours: first frame held" in page
    assert "chance is 0.75, not 0.5" in page
    assert Image.open(tmp_path / "out" / "contact.png").size[1] > 2 * 64
    table = pq.read_table(tmp_path / "out" / "per_clip.parquet").to_pylist()
    assert {(row["system"], row["control"], row["clip"]) for row in table} == {
        ("ours", control, f"clip{seed}") for control in ("", "still", "mismatched") for seed in range(3)
    }


def test_the_system_beats_chance_and_the_numbers_agree(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = judged(capsys, *folders)
    assert code == 0
    assert report["failures"] == []
    for name, row in means(report).items():
        chance = means(report, control="mismatched")[name]
        better = row["mean"] > chance["mean"] if VIDEO_METRICS[name].goal == "max" else row["mean"] < chance["mean"]
        assert better or name.startswith("hue_cos"), name  # the uncentred cosine of hues hardly knows chance from truth
        assert row["low"] <= row["mean"] <= row["high"]
        assert row["clips"] == 3


def test_the_default_size_is_the_smallest_usual_one(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, ours = folders
    for seed in range(3):
        save(tmp_path / "small", f"clip{seed}", moving(seed, frames=4, size=16))
    save(ours, "clip2", moving(2, size=8))
    _, report = judged(capsys, truth, ours, "--system", f"small={tmp_path / 'small'}")
    assert report["chosen"] == {"height": 16, "width": 16, "frames": 4}
    _, report = judged(capsys, truth, ours, "--resolution", "24", "--frames", "5")
    assert report["chosen"] == {"height": 24, "width": 24, "frames": 5}


def test_all_systems_are_judged_on_the_clips_that_all_have(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, ours = folders
    for seed in range(2):
        save(tmp_path / "theirs", f"clip{seed}", moving(seed))
    code, report = judged(capsys, truth, ours, "--system", f"theirs={tmp_path / 'theirs'}")
    assert code == 1
    assert [(f["system"], f["clip"], f["reason"]) for f in report["failures"]] == [
        ("theirs", "clip2", "there is no reconstruction of this name")
    ]
    assert means(report)["ssim"]["clips"] == means(report, "theirs")["ssim"]["clips"] == 2
    assert means(report, "theirs")["ssim"]["mean"] == pytest.approx(1.0)


def test_systems_without_a_common_clip_are_told_apart_loudly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for system in ("a", "b"):
        for seed in range(2):
            pair = np.zeros((6, 36, 70, 3), np.uint8)
            pair[:, 2:34, 2:34], pair[:, 2:34, 36:68] = moving(seed), moving(seed + 5)
            save(tmp_path / system, f"{system}{seed}", pair)
    arguments = [tmp_path / "a", "--system", f"b={tmp_path / 'b'}", "--out", tmp_path / "out", "--no-tracking"]
    assert main(list(map(str, arguments))) == 0
    assert "THE SYSTEMS SHARE NO CLIP" in " ".join(capsys.readouterr().out.split())


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
        r"has 1 frame\(s\), but 6 were chosen for all",
        False,
    ),
    "proportions": (
        lambda folder: save(folder, "bad", moving(0)[:, :24]),
        "24x32 has other proportions than the chosen 32x32",
        False,
    ),
    "transparent": (transparent, "transparent pixels", False),
    "no truth": (lambda folder: save(folder, "stray", moving(0)), "there is no truth of this name", False),
    "twice": (
        lambda folder: (save(folder, "bad", moving(0)), gif(folder / "bad.gif", moving(0), duration=100)),
        "several files",
        False,
    ),
    "black": (black, "black all over", True),
    "grey frame": (
        grey_frame,
        "hue Pearson is undefined: a single hue all over the truth or the prediction in frame 3",
        True,
    ),
    "other length": (other_length, r"lasts 3.00 s, its truth 1.50 s", True),
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
    assert means(report)["hue_cos"]["clips"] == 2
    assert str(black_clip) in Path(report["out"], "scores.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give FOLDER, or --system NAME=FOLDER"),
        (["{tmp}/nothing"], "nothing: there is no such folder"),
        (["{tmp}/empty"], "empty: holds no video; GIF, MP4, folders of PNG or .npy"),
        (
            ["{tmp}/ours"],
            "no video shows truth and reconstruction side by side with black padding; give --truth FOLDER",
        ),
        (["{tmp}/ours", "--truth", "{tmp}/strangers"], "pairs have one name, but none here is in"),
        (["{tmp}/ours", "--system", "{tmp}/ours"], "NAME=FOLDER is needed"),
        (["{tmp}/ours", "--system", "ours={tmp}/ours"], "systems need different names"),
        (["{tmp}/ours", "--truth", "{tmp}/truth", "--resolution", "4"], "4x4 is too small; SSIM needs 7x7"),
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
    with pytest.raises(SystemExit) as stop:
        main(["folder", *arguments])
    assert stop.value.code == 2
    assert "a whole number from 1 is needed" in capsys.readouterr().err


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


def test_the_phantoms_networks_judge(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, report = judged(capsys, *folders, "--vifi", "phantom", "--clip", "phantom")
    assert (code, report["failures"]) == (0, [])
    assert means(report)["vifi"]["mean"] > means(report, control="mismatched")["vifi"]["mean"]


def test_a_single_video_is_judged_without_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "truth", "only", moving(0))
    save(tmp_path / "ours", "only", moving(0) // 2 + moving(10) // 2)
    code, report = judged(capsys, tmp_path / "truth", tmp_path / "ours")
    assert code == 0
    row = means(report)["ssim"]
    assert (row["clips"], row["low"], row["high"]) == (1, None, None)
    assert "mismatched" not in {row["control"] for row in report["rows"] if row["clips"] > 0}


def test_where_nothing_can_be_judged_all_is_written_all_the_same(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(3):
        save(folders[1], f"clip{seed}", moving(seed)[:, :24])
    code, report = judged(capsys, *folders, "--resolution", 32)
    assert code == 1
    assert {failure["clip"] for failure in report["failures"]} == {"clip0", "clip1", "clip2"}
    assert report["rows"] == []
    assert "other proportions" in Path(report["out"], "page.html").read_text()


def test_stills_have_no_motion_to_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(2):
        save(tmp_path / "truth", f"clip{seed}", moving(seed, frames=1))
        save(tmp_path / "ours", f"clip{seed}", moving(seed, frames=1))
    code, report = judged(capsys, tmp_path / "truth", tmp_path / "ours")
    assert code == 1
    assert {failure["reason"] for failure in report["failures"]} == {"EPE (px) is undefined: one frame has no flow"}
    assert means(report)["epe"]["mean"] is None
    assert means(report)["ssim"]["mean"] == 1


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
    assert f"--out {file}: cannot be made" in capsys.readouterr().err
