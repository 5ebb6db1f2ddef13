"""What goes wrong while a data set is prepared: other processes, kills, one bad subject, files that are no arrays."""

import fcntl
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from platform.prepare import main
from tests.programs import ROOT, program
from tests.trainables.folders import config, write_folder
from tests.trainables.prepared.labs import CLIPS, TR, names, prepare_rows, prepare_series, rows_lab, series_lab, values
from trainables import datasets
from trainables.datasets.errors import DatasetError
from trainables.datasets.npy_files import ArrayFileError, map_npy
from trainables.datasets.prepared import write
from trainables.datasets.prepared.read import open_prepared
from trainables.datasets.prepared.workspace import open_workspace
from trainables.datasets.prepared.write import _write_recording as write_recording
from trainables.preparation.pickles import read_object_npy

SMALL = ("--frames", "4", "--resolution", "32")


def test_of_three_at_once_one_writes_and_the_others_name_it(tmp_path: Path) -> None:
    lab, gate = rows_lab(tmp_path / "lab"), threading.Barrier(3)
    ends: list[str] = []

    def one() -> None:
        gate.wait()
        try:
            prepare_rows(lab, tmp_path / "out")
            ends.append("done")
        except DatasetError as error:
            ends.append(str(error))

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert ends.count("done") == 1
    assert len(ends) == 3
    for text in ends:
        # The holder writes its process id just after it has the lock; until then it is "another process".
        busy = f"{tmp_path}/out: " in text and "process" in text and "is writing this data set; wait for it" in text
        assert text == "done" or busy or "out: is not empty" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lab", "out"]


def test_a_lock_whose_holder_has_just_published_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process finishes between this one's opening of the lock file and its locking."""
    lab, lock = rows_lab(tmp_path / "lab"), fcntl.flock
    others = iter([lambda: prepare_rows(lab, tmp_path / "out")])

    def late(file: Any, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        next(others)()
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(DatasetError, match="out: is not empty"):
        prepare_rows(lab, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lab", "out"]


def test_a_lock_file_that_a_kill_left_locks_nothing(tmp_path: Path) -> None:
    (tmp_path / ".out.lock").write_text("process 1 on nowhere, since 00:00:00,")
    with open_workspace(tmp_path / "out", {}) as space:
        space.publish()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_after_a_kill_or_ctrl_c_the_same_command_goes_on(
    tmp_path: Path, number: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, out = series_lab(tmp_path / "lab", subjects=1), tmp_path / "out"
    words = ["series", str(lab), "--out", str(out), "--tr", str(TR), *SMALL]
    ended = subprocess.run(program("stopped_prepare", int(number), *words), cwd=ROOT, capture_output=True, timeout=300)
    assert ended.returncode == code, ended.stderr
    assert not out.exists()
    assert (b"continues with what is finished" in ended.stderr) == (number == signal.SIGINT)
    parts = {path.name for path in (tmp_path / ".out.partial" / ".parts").glob("*.json")}
    assert {"clips-00000.json", "sub-01-00000.json", "sub-01-00001.json"} <= parts
    reading: list[str] = []

    def counted(part: Any) -> Any:
        reading.append(part.recording.run_id)
        return write_recording(part)

    monkeypatch.setattr(write, "_write_recording", counted)
    assert main(words) == 0
    assert reading == ["run-3", "run-4"]
    prepare_series(lab, tmp_path / "whole", licence="", citation=())
    first, second = (open_prepared(tmp_path / name).description.digest for name in ("out", "whole"))
    assert first == second
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lab", "out", "whole"]


def test_a_subject_of_constant_voxels_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = rows_lab(tmp_path / "lab", subjects=3)
    np.save(lab / "sub-02" / "rows.npy", np.ones((2 * CLIPS, 6), np.float32))
    assert main(["rows", str(lab), "--out", str(tmp_path / "out"), *SMALL]) == 1
    text = capsys.readouterr().out
    assert "error: sub-02: is left out; sub-02/rows.npy: every voxel is constant; the file holds no measurement" in text
    assert ".partial" not in text
    about = open_prepared(tmp_path / "out").description
    assert about.subjects == ("sub-01", "sub-03")
    assert any("sub-02 is left out" in defect for defect in about.defects)
    assert not [path for path in about.files if path.startswith("sub-02")]
    assert main(["validate", str(tmp_path / "out"), "--again"]) == 0


def test_errors_that_all_subjects_share_name_no_hidden_folder(tmp_path: Path) -> None:
    lab = rows_lab(tmp_path / "lab")
    (lab / "sub-02" / "rows.npy").write_bytes((lab / "sub-01" / "rows.npy").read_bytes())
    with pytest.raises(DatasetError) as caught:
        prepare_rows(lab, tmp_path / "out")
    assert "error: sub-02: sub-01 and sub-02 hold the same values" in str(caught.value)
    assert ".partial" not in str(caught.value).partition("finished parts")[0]


def test_many_findings_of_one_kind_are_one_line_with_their_number(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        prepare_series(series_lab(tmp_path / "lab"), tmp_path / "out", start_time=1e6)
    errors = [line for line in str(caught.value).splitlines() if line.startswith("error")]
    assert len(errors) == 2, "a line for each subject"
    for subject, line in zip(("sub-01", "sub-02"), errors, strict=True):
        assert f"{subject}/events.parquet, run 'run-1', clip 'clip000': begins at 0 s" in line
        assert line.endswith(f"(and {CLIPS - 1} more like this)")


def objects(path: Path) -> None:
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def long_header(path: Path) -> None:
    """Write an array whose header is longer than NumPy reads without being told to trust the file."""
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1)}".ljust(19_999) + "\n"
    path.write_bytes(b"\x93NUMPY\x02\x00" + len(header).to_bytes(4, "little") + header.encode() + bytes(4))


def archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=values(2, 0))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (objects, "it holds Python objects (pickled data), which are never loaded"),
        (long_header, "it has a header that is not read"),
        (archive, "it is an archive of arrays (.npz)"),
        (lambda path: path.write_text("no array"), "it is no NumPy file"),
        (lambda path: path.write_bytes(b""), "it is empty"),
    ],
)
def test_what_is_no_array_is_never_answered_with_advice_to_unpickle(
    write: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    write(tmp_path / "a.npy")
    with pytest.raises(ArrayFileError) as caught:
        map_npy(tmp_path / "a.npy")
    assert str(caught.value) == message
    lab = rows_lab(tmp_path / "lab", subjects=1)
    write(lab / "sub-01" / "rows.npy")
    with pytest.raises(DatasetError) as of_rows:
        prepare_rows(lab, tmp_path / "out")
    (lab / "clips" / f"{names()[3]}.gif").unlink()
    write(lab / "clips" / f"{names()[3]}.npy")
    with pytest.raises(DatasetError) as of_clips:
        prepare_rows(lab, tmp_path / "other")
    mine = write_folder(tmp_path / "mine")
    write(mine / "fmri.npy")
    of_fmri = str(datasets.check(config(mine)))
    for text in (str(of_rows.value), str(of_clips.value), of_fmri):
        if write in (objects, long_header):  # those that NumPy would advise about
            assert message in text
        assert "allow_pickle" not in text
        assert "pickle.load" not in text


def test_the_reader_of_published_objects_gives_no_such_advice_either(tmp_path: Path) -> None:
    long_header(tmp_path / "a.npy")
    with pytest.raises(ValueError, match=r"is not a \.npy file, or has a header that cannot be read") as caught:
        read_object_npy(tmp_path / "a.npy")
    assert "allow_pickle" not in str(caught.value)
