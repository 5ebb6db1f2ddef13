"""Files of a lab that cannot be prepared, each with the message that says why."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.trainables.prepared.labs import (
    names,
    values,
    write_csv,
)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def each(change: Callable[[Path], object]) -> Callable[[Path], object]:
    """Return what changes the folders of both subjects."""

    def both(lab: Path) -> None:
        for subject in ("sub-01", "sub-02"):
            change(lab / subject)

    return both


BAD_ROWS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no clips": (lambda lab: (lab / "clips").rename(lab / "movies"), r"lab/clips: there is no such folder; .*--clips"),
    "no captions": (lambda lab: (lab / "captions.json").unlink(), r"captions\.json: there is no such file"),
    "caption empty": (
        lambda lab: (lab / "captions.json").write_text(json.dumps([["a", " "]] + ["b"] * 11)),
        r"captions\.json, caption of 'clip000': is \['a', ' '\]; every clip needs texts",
    ),
    "captions a folder": (
        lambda lab: make_folder(lab / "captions.json"),
        r"captions\.json: cannot be read: Is a directory; it must be \.json",
    ),
    "captions short": (
        lambda lab: (lab / "captions.json").write_text(json.dumps(["a"])),
        r"1 captions for 12 clips; there must be one for each clip",
    ),
    "clip truncated": (
        lambda lab: truncate(lab / "clips" / "clip003.gif"),
        r"clip 'clip003' \(.*clip003\.gif\): ends before its trailer.*; replace the clip",
    ),
    "table of clips": (
        lambda lab: write_csv(lab / "clips.csv", {"clip_id": names()[:-1], "source": ["f"] * 11}),
        r"clips\.csv: has no row for 1 clip\(s\): clip011; each clip needs one row",
    ),
    "column of clips": (
        lambda lab: write_csv(lab / "clips.csv", {"clip_id": names(), "sorce": ["f"] * 12}),
        r"clips\.csv: has the column\(s\) sorce; columns may be clip_id, source",
    ),
    "split word": (
        lambda lab: write_csv(lab / "clips.csv", {"clip_id": names(), "split": ["training"] * 12}),
        r"column split: holds 'training'; it must be train, validation, test, excluded",
    ),
    "split missing": (
        lambda lab: write_csv(lab / "clips.csv", {"clip_id": names(), "split": ["train"] * 11 + [""]}),
        r"column split: 1 of 12 clips have no split, for example 'clip011'; give one to every clip",
    ),
    "split without test": (
        lambda lab: write_csv(lab / "clips.csv", {"clip_id": names(), "split": ["train"] * 12}),
        r"column split: no clip is 'test'; give split 'test'",
    ),
    "no source": (
        lambda lab: (lab / "clips.csv").unlink(),
        r"split: the clips have no split, and come from 1 source\(s\) and 2 run\(s\); use --split-by source",
    ),
    "unknown clip": (
        each(lambda place: write_csv(place / "rows.csv", {"clip_id": ["clip099", *names()[1:]] * 2})),
        r"rows\.csv, column clip_id: names 1 clip\(s\) that are not there: clip099 \(did you mean .*\?\); add the",
    ),
    "rows do not fit": (
        each(lambda place: (place / "rows.csv").unlink()),
        r"rows\.npy: 24 rows for 12 clips; row i must be the response to clip i",
    ),
    "voxels do not fit": (
        each(lambda place: write_csv(place / "voxels.csv", {"roi": ["V1"]})),
        r"voxels\.csv: has 1 rows, but the fMRI 6 voxels; row v must describe voxel v",
    ),
    "region": (
        each(lambda place: write_csv(place / "voxels.csv", {"roi": ["V1"] * 6, "q": [2] * 6})),
        r"column q: holds 2; a further column is a region",
    ),
    "array truncated": (
        each(lambda place: truncate(place / "rows.npy")),
        r"rows\.npy: cannot be read: .*truncated, or a pointer of git-annex or LFS",
    ),
    "array not downloaded": (
        each(
            lambda place: (place / "rows.npy").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
        ),
        r"rows\.npy: its content was not downloaded \(Git LFS\); run `git lfs pull",
    ),
    "clip not downloaded": (
        lambda lab: (lab / "clips" / "clip003.gif").write_text("/annex/objects/MD5E-s900--d41d8c.gif\n"),
        r"clip003\.gif: its content was not downloaded \(git-annex\); run `datalad get clip003\.gif`",
    ),
    "table not downloaded": (
        each(lambda place: (place / "rows.csv").write_text("/annex/objects/MD5E-s900--d41d8c.csv\n")),
        r"rows\.csv: its content was not downloaded \(git-annex\); run `datalad get",
    ),
    "array of text": (
        each(lambda place: np.save(place / "rows.npy", np.array([["a"]]))),
        r"rows\.npy: holds <U1 \[1, 1\]; it must hold real numbers in 2 or 3 dimensions",
    ),
    "no subjects": (
        each(lambda place: (place / "rows.npy").unlink()),
        r"there is no folder with fMRI, such as sub-01; put the arrays",
    ),
    "twin subjects": (
        lambda lab: (lab / "sub-02" / "rows.npy").write_bytes((lab / "sub-01" / "rows.npy").read_bytes()),
        r"sub-01 and sub-02 hold the same values; every subject needs data of its own",
    ),
    "constant": (
        each(lambda place: np.save(place / "rows.npy", np.ones((24, 6), "f4"))),
        r"rows\.npy: every voxel is constant; the file holds no measurement",
    ),
}


BAD_SERIES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no events": (
        lambda place: (place / "events.csv").unlink(),
        r"sub-01: has no table events\.csv; it must have the columns run_id, onset_s",
    ),
    "column": (
        lambda place: write_csv(place / "events.csv", {"run_id": ["run-1"], "onset": [0], "clip_id": ["clip000"]}),
        r"events\.csv: has no column onset_s, duration_s, but run_id, onset, clip_id",
    ),
    "unknown run": (
        lambda place: write_csv(
            place / "events.csv", {"run_id": ["run-9"], "onset_s": [0], "duration_s": [2], "clip_id": ["clip000"]}
        ),
        r"column run_id: names run-9, but the files are run-1, run-2",
    ),
    "onset": (
        lambda place: write_csv(
            place / "events.csv", {"run_id": ["run-1"], "onset_s": ["x"], "duration_s": [2], "clip_id": ["clip000"]}
        ),
        r"column onset_s: row 1 holds 'x'; every row needs a number",
    ),
    "after the end": (
        lambda place: write_csv(
            place / "events.csv", {"run_id": ["run-1"], "onset_s": [12], "duration_s": [2], "clip_id": ["clip000"]}
        ),
        r"begins at 12 s, but the run lasts from 0 to 12 s; onsets are seconds",
    ),
    "voxels differ": (
        lambda place: np.save(place / "run-2.npy", values(6, 1, voxels=5)),
        r"voxels differ: run-1\.npy has 6, run-2\.npy has 5.*; all runs need the same voxels",
    ),
    "copied run": (
        lambda place: (place / "run-2.npy").write_bytes((place / "run-1.npy").read_bytes()),
        r"runs 'run-1' and 'run-2' hold the same values; one file was copied",
    ),
}
