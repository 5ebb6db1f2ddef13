"""Parts of a data set made elsewhere, in any order and at the same time: the same bytes, the same refusals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray import cloudpickle

from platform.prepare import main
from tests.fakes.algonauts2021 import write_algonauts2021
from tests.fakes.bmd import Videos, write_annotations, write_bmd
from tests.trainables.prepared.labs import SIZE, TR, rows_lab, series_lab
from trainables.datasets.prepared import clip_shards, write
from trainables.datasets.prepared.description import FileFacts
from trainables.datasets.prepared.parts import Part, Result, Results, RunParts, parts_here
from trainables.datasets.prepared.read import open_prepared
from trainables.preparation import own_series
from trainables.preparation.prepare import Making, prepare
from trainables.preparation.readers import preparation_reader

SMALL = ("--frames", "4", "--resolution", "32")
VIDEOS = Videos(train=10, test=2)
Files = Mapping[str, FileFacts]


def elsewhere(make: Callable[[Part], Result], parts: Sequence[Part], /) -> Results[Result]:
    """Make the parts in reverse order, each sent away and back as bytes, as a scheduler does."""
    for index in reversed(range(len(parts))):
        sent_make, sent_part = _sent((make, parts[index]))
        yield index, _sent(sent_make(sent_part))


def _sent(value: Any) -> Any:
    return cloudpickle.loads(cloudpickle.dumps(value))  # type: ignore[no-untyped-call]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of five clips, so that there are several."""
    monkeypatch.setattr(clip_shards, "SHARD", 5)


@dataclass(frozen=True)
class Case:
    """A reader, and what it is given."""

    reader: str
    words: Mapping[str, Any]

    def files(self, out: Path, run_parts: RunParts) -> Files:
        """Prepare the data set, and return size and digest of its files."""
        reader = preparation_reader(self.reader)
        options = reader.Settings(**self.words)
        return prepare(reader.open_source(options), options, out, making=Making(run_parts=run_parts)).description.files


def case(reader: str, folder: Path) -> Case:
    match reader:
        case "rows":
            return Case(reader, {**SIZE, "folder": rows_lab(folder)})
        case "series":
            return Case(reader, {**SIZE, "folder": series_lab(folder), "tr": TR})
        case "bmd":
            words = {"folder": write_bmd(folder, subjects=(1,), videos=VIDEOS), "betas": "MNI152"}
            return Case(reader, {**words, "frames": 8, "resolution": 32})
    algonauts = write_algonauts2021(folder, subjects=(1,), videos=VIDEOS)
    write_annotations(algonauts / "annotations.json", VIDEOS)
    captions = (algonauts / "annotations.json",)
    return Case(reader, {"folder": algonauts, "captions": captions, "frames": 8, "resolution": 32})


@pytest.mark.parametrize("reader", ["rows", "series", "bmd", "algonauts2021"])
def test_parts_that_travel_give_the_same_bytes(reader: str, tmp_path: Path) -> None:
    given = case(reader, tmp_path / "source")
    assert given.files(tmp_path / "elsewhere", elsewhere) == given.files(tmp_path / "here", parts_here)


@pytest.mark.long
def test_ray_gives_the_same_bytes(tmp_path: Path, ray_cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = series_lab(tmp_path / "lab")
    words = ["series", str(lab), "--tr", str(TR), *SMALL]
    assert main([*words, "--out", str(tmp_path / "here")]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(write, "_write_block", never)  # in this process nothing is written
        assert main([*words, "--out", str(tmp_path / "ray"), "--ray"]) == 0
    here, ray = (open_prepared(tmp_path / name).description for name in ("here", "ray"))
    assert len([name for name in here.files if name.startswith("clips/")]) == 3
    assert ray.files == here.files
    assert ray.digest == here.digest


def never(*arguments: object) -> None:
    raise AssertionError("this process writes a recording")


@pytest.mark.long
def test_on_ray_a_bad_recording_loses_its_subject_alone(
    tmp_path: Path, ray_cluster: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = series_lab(tmp_path / "lab")
    np.save(lab / "sub-02" / "run-2.npy", np.full((6, 6), np.nan, np.float32))
    assert main(["series", str(lab), "--tr", str(TR), *SMALL, "--out", str(tmp_path / "out"), "--ray"]) == 1
    text = capsys.readouterr().out
    assert f"error: sub-02: is left out; {lab}/sub-02/run-2.npy: 6 voxel(s) hold NaN" in text
    assert open_prepared(tmp_path / "out").description.subjects == ("sub-01",)
    (lab / "clips" / "clip007.gif").write_bytes(b"no picture")
    assert main(["series", str(lab), "--tr", str(TR), *SMALL, "--out", str(tmp_path / "no"), "--ray"]) == 1
    assert "clip 'clip007'" in capsys.readouterr().err


def test_what_one_way_has_finished_the_other_goes_on_with(tmp_path: Path) -> None:
    options = own_series.Settings(folder=series_lab(tmp_path / "lab", subjects=1), **SIZE, tr=TR)
    made: list[object] = []

    def counted(make: Callable[[Part], Result], parts: Sequence[Part], /) -> Results[Result]:
        made.extend(parts)
        yield from parts_here(make, parts)

    def stopped(step: str, done: int, total: int) -> None:
        if step == "fMRI" and done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(own_series.open_source(options), options, tmp_path / "out", making=Making(stopped, elsewhere))
    result = prepare(own_series.open_source(options), options, tmp_path / "out", making=Making(run_parts=counted))
    recordings = [part.recording.run_id for part in made if isinstance(part, write._RecordingPart)]
    assert recordings == ["run-1", "run-2", "run-3"], "run-4 was made first"
    assert not [part for part in made if isinstance(part, clip_shards._Shard)]
    whole = prepare(own_series.open_source(options), options, tmp_path / "whole")
    assert result.description.files == whole.description.files


def test_progress_counts_every_part_once(tmp_path: Path) -> None:
    options = own_series.Settings(folder=series_lab(tmp_path / "lab"), **SIZE, tr=TR)
    sums: dict[str, int] = {}
    totals: dict[str, int] = {}

    def count(step: str, done: int, total: int) -> None:
        sums[step], totals[step] = sums.get(step, 0) + done, total

    prepare(own_series.open_source(options), options, tmp_path / "out", making=Making(count, elsewhere))
    assert set(sums) == {"clips", "fMRI", "digests", "checks"}
    headers = totals.pop("checks") - sums.pop("checks")
    assert sums == totals
    assert headers == 5 * 128, "the checks count all bytes of arrays, but read no header"


def test_a_part_that_ends_in_an_unexpected_error_ends_the_command(tmp_path: Path) -> None:
    options = own_series.Settings(folder=series_lab(tmp_path / "lab"), **SIZE, tr=TR)

    def broken(make: Callable[[Part], Result], parts: Sequence[Part], /) -> Results[Result]:
        raise RuntimeError("a worker was lost")
        yield

    with pytest.raises(RuntimeError, match="a worker was lost"):
        prepare(own_series.open_source(options), options, tmp_path / "out", making=Making(run_parts=broken))
    assert not (tmp_path / "out").exists()
