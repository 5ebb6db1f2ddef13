"""Systems compared over films: the file that names them, what it may lack, and what the table says."""

from pathlib import Path

import numpy as np
import pytest

from platform.errors import UserError
from platform.reporting.cluster_file import read_clusters
from platform.reporting.system_pairs import compare_systems, comparison_sheet, pair_json
from trainables.judging.values import Value
from trainables.metrics.clip_metrics import CLIP_METRICS

CLIPS = [f"c{clip}" for clip in range(24)]


def written(folder: Path, *, column: str = "film", clips: int = 24, films: int = 8) -> Path:
    path = folder / "films.csv"
    rows = [f"{name}.mp4,{index % films}" for index, name in enumerate(CLIPS[:clips])]
    path.write_text("\n".join([f"name,{column}", *rows, "another,0"]))
    return path


def test_a_film_is_the_unit(tmp_path: Path) -> None:
    named = [f"{clip}.mp4" for clip in CLIPS]
    clusters = read_clusters(f"{written(tmp_path)}:film", named)
    assert clusters["c9.mp4"] == "film 1"
    rng = np.random.default_rng(0)
    values = [
        Value(system, "", clip, "ssim", better + rng.normal(0.0, 0.01))
        for system, better in (("a", 0.6), ("b", 0.4))
        for clip in named
    ]
    (by_film,) = compare_systems(values, [CLIP_METRICS["ssim"]], ["a", "b"], clusters=clusters)
    (by_clip,) = compare_systems(values, [CLIP_METRICS["ssim"]], ["a", "b"])
    assert (by_film.comparison.clusters, by_film.comparison.p) == (8, 2 ** (1 - 8))
    assert by_clip.comparison.p < by_film.comparison.p
    assert pair_json(by_film)["clustered_by"] == "film"
    notes = " ".join(comparison_sheet([by_film]).notes)
    assert "A film is one unit of the tests: the clips lie in 8 films." in notes
    assert "sign-flip test over films" in notes
    assert "Each clip counts as independent" in " ".join(comparison_sheet([by_clip]).notes)


def test_names_may_lack_the_suffix_and_the_column_is_cluster_by_default(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("name,cluster\na,x\nb,x\n")
    assert read_clusters(str(path), ["a", "b"]) == {"a": "cluster x", "b": "cluster x"}
    path.write_text("name,cluster\na.mp4,x\nb.mp4,x\n")
    assert read_clusters(str(path), ["a", "b"]) == {"a": "cluster x", "b": "cluster x"}
    assert read_clusters(str(path), ["a.gif", "b"]) == {"a.gif": "cluster x", "b": "cluster x"}


@pytest.mark.parametrize(
    ("clips", "column", "wrong"),
    [
        (23, "film", "has no cluster for c23.mp4; name each clip once"),
        (24, "reel", "has no column 'film'; there are: name, reel"),
    ],
)
def test_what_a_file_lacks_is_named(tmp_path: Path, clips: int, column: str, wrong: str) -> None:
    path = written(tmp_path, column=column, clips=clips)
    with pytest.raises(UserError, match=wrong):
        read_clusters(f"{path}:film", [f"{clip}.mp4" for clip in CLIPS])


def test_a_file_that_is_not_there_or_names_a_clip_twice(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--clusters .*none\.csv: cannot be read"):
        read_clusters(str(tmp_path / "none.csv"), ["a"])
    (tmp_path / "twice.csv").write_text("name,cluster\na,x\na,y\n")
    with pytest.raises(UserError, match="has several rows for a"):
        read_clusters(str(tmp_path / "twice.csv"), ["a"])
