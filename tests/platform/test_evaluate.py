"""The verb `evaluate`: published numbers reproduced, every kind of bad input answered, every output written."""

import csv
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from platform.evaluate import main
from tests.platform.made_up_videos import evaluate, judged, means, moving, save
from trainables.metrics.clip_metrics import CLIP_METRICS

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "clips"
COLUMNS = {
    "ssim": ("", "ssim", 1e-4),
    "psnr": ("", "psnr", 1e-4),
    "hue_cos_bgr": ("", "hue_cos_legacy", 1e-4),
    "hue_cos_rgb": ("", "hue_cos", 1e-4),
    "hue_pearson_rgb": ("", "hue_pcc", 1e-4),
    "epe_bgr2gray": ("", "epe_legacy", 1e-3),
    "epe_rgb2gray": ("", "epe", 1e-3),
    "epe_static_rgb2gray": ("static", "epe", 1e-3),
}


@pytest.mark.long
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
    assert "32x32 (the smallest common native one), 6 frames" in " ".join(shown.split())
    assert "SSIM" in shown
    assert "chance is 0.75, not 0.5" in " ".join(shown.split())
    markdown = (tmp_path / "out" / "scores.md").read_text()
    assert "| metric | chance | clips | ours | ours: first frame held | ours: another clip's fMRI |" in markdown
    assert "Systems compared" not in markdown
    latex = (tmp_path / "out" / "scores.tex").read_text()
    assert r"\toprule" in latex
    assert not re.search(r"(?<!\\)[_%#]", latex.replace("% needs", ""))
    page = (tmp_path / "out" / "page.html").read_text()
    assert page.count("<article>") == 3
    assert page.count('alt="Truth, clip') == page.count('alt="ours, clip') == 3
    assert "ours: first frame held" in page
    assert "chance is 0.75, not 0.5" in page
    assert Image.open(tmp_path / "out" / "contact.png").size[1] > 2 * 64
    table = pq.read_table(tmp_path / "out" / "per_clip.parquet").to_pylist()
    assert {(row["system"], row["control"], row["clip"]) for row in table} == {
        ("ours", control, f"clip{seed}") for control in ("", "static", "shuffled_fmri") for seed in range(3)
    }


def test_the_system_beats_chance_and_the_numbers_agree(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = judged(capsys, *folders)
    assert code == 0
    assert report["failures"] == []
    for name, row in means(report).items():
        chance = means(report, control="shuffled_fmri")[name]
        better = row["mean"] > chance["mean"] if CLIP_METRICS[name].goal == "max" else row["mean"] < chance["mean"]
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
    compared = {row["metric"]: row for row in report["comparisons"]}
    assert compared.keys() == means(report).keys()
    ssim = compared["ssim"]
    assert (ssim["first"], ssim["second"], ssim["clips"], ssim["p"]) == ("ours", "theirs", 2, 0.5)
    assert ssim["difference"] == pytest.approx(means(report)["ssim"]["mean"] - 1.0)
    for name in ("scores.md", "scores.tex", "page.html"):
        text = Path(report["out"], name).read_text()
        assert "Systems compared, clip by clip" in text
        assert ("ours $-$ theirs" if name.endswith("tex") else "ours − theirs") in text


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


def test_the_phantoms_networks_judge(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, report = judged(capsys, *folders, "--vifi", "phantom", "--clip", "phantom")
    assert (code, report["failures"]) == (0, [])
    assert means(report)["vifi"]["mean"] > means(report, control="shuffled_fmri")["vifi"]["mean"]


def test_a_single_video_is_judged_without_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "truth", "only", moving(0))
    save(tmp_path / "ours", "only", moving(0) // 2 + moving(10) // 2)
    code, report = judged(capsys, tmp_path / "truth", tmp_path / "ours")
    assert code == 0
    row = means(report)["ssim"]
    assert (row["clips"], row["low"], row["high"]) == (1, None, None)
    assert "shuffled_fmri" not in {row["control"] for row in report["rows"] if row["clips"] > 0}


def test_where_nothing_can_be_judged_all_is_written_all_the_same(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(3):
        save(folders[1], f"clip{seed}", moving(seed)[:, :24])
    code, report = judged(capsys, *folders, "--resolution", 32)
    assert code == 1
    assert {failure["clip"] for failure in report["failures"]} == {"clip0", "clip1", "clip2"}
    assert report["rows"] == []
    assert "another aspect ratio" in Path(report["out"], "page.html").read_text()


def test_stills_have_no_motion_to_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(2):
        save(tmp_path / "truth", f"clip{seed}", moving(seed, frames=1))
        save(tmp_path / "ours", f"clip{seed}", moving(seed, frames=1))
    code, report = judged(capsys, tmp_path / "truth", tmp_path / "ours")
    assert code == 1
    assert {failure["reason"] for failure in report["failures"]} == {"EPE (px) is undefined: one frame has no flow"}
    assert means(report)["epe"]["mean"] is None
    assert means(report)["ssim"]["mean"] == 1


def test_motion_energy_of_few_frames_is_left_out_and_this_is_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(2):
        save(tmp_path / "truth", f"clip{seed}", moving(seed, frames=4))
        save(tmp_path / "ours", f"clip{seed}", moving(seed, frames=4))
    code, report = judged(capsys, tmp_path / "truth", tmp_path / "ours")
    assert (code, report["failures"]) == (0, [])
    assert "epe" in means(report)
    assert "motion_energy" not in means(report)
    page = Path(report["out"], "scores.md").read_text()
    assert "Motion energy is left out: it needs 5 frames, but there are 4." in page
