"""From published files to a data set, and from it to a trial: the readers of films, tensors, HDF5 and parcels."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from platform.run.driver import run_study
from platform.study.sweep_file import load_study
from tests.fakes import algonauts2025 as fake2025
from tests.fakes import hcp as fake_hcp
from tests.fakes import mosaic as fake_mosaic
from tests.fakes import neuroclips as fake_pack
from tests.platform.noop_studies import inline_in
from tests.platform.test_prepared_study import STUDY
from trainables.preparation import algonauts2025, hcp, mosaic, neuroclips
from trainables.preparation.hcp_clips import film_parts
from trainables.preparation.prepare import prepare


def prepare_hcp(folder: Path, out: Path) -> None:
    fake_hcp.write_films(folder / "movies")
    fake_hcp.write_runs(folder)
    captions = folder / "captions.json"
    options = hcp.Settings(folder=folder, captions=(captions,), clip_seconds=1, resolution=32)
    names = [clip for part in film_parts(fake_hcp.DESIGN, options.rule) for clip in part.clips]
    captions.write_text(json.dumps({name: f"scene {name}" for name in names}))
    prepare(hcp.open_source(options, design=fake_hcp.DESIGN), options, out)


def prepare_neuroclips(folder: Path, out: Path) -> None:
    fake_pack.write_neuroclips(folder, subjects=(1,))
    options = neuroclips.Settings(folder=folder, resolution=32)
    prepare(neuroclips.open_source(options, design=fake_pack.SMALL), options, out)


def prepare_mosaic(folder: Path, out: Path) -> None:
    fake_mosaic.write_mosaic(folder, subjects=(1,))
    names = [fake_mosaic.stem(number) for numbers in fake_mosaic.VIDEOS.numbers.values() for number in numbers]
    (folder / "captions.json").write_text(json.dumps({name: f"scene {name}" for name in names}))
    options = mosaic.Settings(folder=folder, captions=(folder / "captions.json",), resolution=32)
    prepare(mosaic.open_source(options), options, out)


def prepare_algonauts2025(folder: Path, out: Path) -> None:
    options = algonauts2025.Settings(folder=fake2025.write_algonauts2025(folder, subjects=(1,)), resolution=32)
    prepare(algonauts2025.open_source(options), options, out)


@pytest.mark.long
@pytest.mark.parametrize("written", [prepare_hcp, prepare_neuroclips, prepare_mosaic, prepare_algonauts2025])
def test_from_files_to_a_trial(written: Callable[[Path, Path], None], tmp_path: Path) -> None:
    out = tmp_path / "data"
    (tmp_path / "source").mkdir()
    written(tmp_path / "source", out)
    file = tmp_path / "study.yaml"
    file.write_text(STUDY.format(path=out))
    assert run_study(load_study(file), inline_in(tmp_path / "home")).trials["completed"] == 1
