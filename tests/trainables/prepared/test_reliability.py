"""Noise ceilings, repeat correlations and the lag curve of a study whose truth is planted."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.trainables.prepared.labs import names, prepare_rows, prepare_series, write_csv
from trainables.datasets.prepared.read import open_prepared

COUNT, LAG, TR = 60, 2, 2.0


def motion_lab(folder: Path) -> np.ndarray:
    """Write clips in which a square moves more or less, four films of them, and return their speed."""
    speed = np.random.default_rng(3).integers(0, 6, COUNT)
    (folder / "clips").mkdir(parents=True)
    for name, pixels in zip(names(COUNT), speed.tolist(), strict=True):
        # Grey, since choosing the colours of a GIF takes longer than all else here.
        frames = np.random.default_rng(int(name[4:])).integers(0, 30, (4, 32, 32), dtype=np.uint8)
        for frame in range(4):
            frames[frame, 10:20, pixels * frame : pixels * frame + 8] = 230
        images = [Image.fromarray(frame) for frame in frames]
        images[0].save(folder / "clips" / f"{name}.gif", save_all=True, append_images=images[1:], duration=500)
    write_csv(folder / "captions.csv", {"name": names(COUNT), "caption": [f"speed of {n}" for n in names(COUNT)]})
    write_csv(folder / "clips.csv", {"clip_id": names(COUNT), "source": [f"film{i // 15}" for i in range(COUNT)]})
    return speed.astype(float)


def series_of(folder: Path, speed: np.ndarray, *, lag: int = LAG) -> None:
    """Write two showings of each film as runs: voxels 0 to 3 follow the motion `lag` volumes later, 4 to 7 do not."""
    rng = np.random.default_rng(5)
    events: dict[str, list[Any]] = {"run_id": [], "onset_s": [], "duration_s": [], "clip_id": []}
    place = folder / "sub-01"
    place.mkdir()
    for run in range(8):
        shown = np.arange(15) + run % 4 * 15
        bold = rng.standard_normal((22, 8)) + np.linspace(0, 40, 22)[:, None] + 500
        bold[lag : lag + 15, :4] += 3 * speed[shown, None]
        np.save(place / f"run-{run + 1}.npy", bold)
        events["run_id"] += [f"run-{run + 1}"] * 15
        events["onset_s"] += (TR * np.arange(15)).tolist()
        events["duration_s"] += [TR] * 15
        events["clip_id"] += [names(COUNT)[index] for index in shown]
    write_csv(place / "events.csv", events)
    write_csv(place / "voxels.csv", {"roi": ["V1"] * 2 + ["MT"] * 2 + ["PFC"] * 4})


def test_a_series_has_its_lag_curve_and_the_planted_voxels_on_top(tmp_path: Path) -> None:
    series_of(tmp_path / "lab", motion_lab(tmp_path / "lab"))
    result = prepare_series(tmp_path / "lab", tmp_path / "out", lag=LAG * TR)
    assert result.report.problems == ()
    curve = result.description.lag_curve["sub-01"]
    assert curve.seconds[int(np.argmax(curve.correlation))] == LAG * TR
    assert max(curve.correlation) > 0.7
    voxels = open_prepared(tmp_path / "out").subjects[0].voxels
    assert voxels.noise_ceiling_1 is not None
    assert voxels.noise_ceiling_n is not None
    assert voxels.repeat_r is not None
    assert voxels.noise_ceiling_1[:4].min() > 80
    assert voxels.noise_ceiling_1[4:].max() < 40
    assert (voxels.noise_ceiling_n[:4] > voxels.noise_ceiling_1[:4]).all()
    assert voxels.repeat_r[:4].min() > 0.8 > 0.4 > voxels.repeat_r[4:].max()


def test_a_wrong_lag_is_a_warning(tmp_path: Path) -> None:
    series_of(tmp_path / "lab", motion_lab(tmp_path / "lab"))
    result = prepare_series(tmp_path / "lab", tmp_path / "out", lag=4 * TR)
    assert "BOLD follows the motion in the clips best +4 s after their middle" in str(result.report)
    assert "the configured lag is +8 s; check trimmed volumes" in str(result.report)


def test_rows_have_ceilings_and_training_repeats_alone_give_the_correlation(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    speed = motion_lab(lab)
    rng = np.random.default_rng(9)
    rows = speed[:, None, None] * [1.0, 0.0] + rng.standard_normal((COUNT, 2, 2))
    (lab / "sub-01").mkdir()
    np.save(lab / "sub-01" / "rows.npy", rows)
    prepare_rows(lab, tmp_path / "out")
    data = open_prepared(tmp_path / "out")
    voxels = data.subjects[0].voxels
    variance = speed.var()
    assert voxels.noise_ceiling_1 is not None
    assert voxels.repeat_r is not None
    assert abs(voxels.noise_ceiling_1[0] - 100 * variance / (variance + 1)) < 8
    train = np.array([clip.split == "train" for clip in data.clips])
    expected = [np.corrcoef(rows[train, 0, v].astype("f4"), rows[train, 1, v].astype("f4"))[0, 1] for v in range(2)]
    np.testing.assert_allclose(voxels.repeat_r, expected, atol=1e-6)


def test_without_repeats_nothing_is_claimed(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    motion_lab(lab)
    (lab / "sub-01").mkdir()
    np.save(lab / "sub-01" / "rows.npy", np.random.default_rng(0).standard_normal((COUNT, 3)))
    prepare_rows(lab, tmp_path / "out")
    voxels = open_prepared(tmp_path / "out").subjects[0].voxels
    assert (voxels.noise_ceiling_1, voxels.noise_ceiling_n, voxels.repeat_r) == (None, None, None)
