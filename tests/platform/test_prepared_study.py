"""From published files to a data set, and from it to a trial: one sweep for all data sets of pickled betas."""

from pathlib import Path

import pytest

from platform.prepare import main
from platform.run.driver import run_study
from platform.study.sweep_file import load_study
from tests.fakes.algonauts2021 import write_algonauts2021
from tests.fakes.bmd import Videos, write_annotations, write_bmd
from tests.platform.noop_studies import inline_in

VIDEOS = Videos(train=20, test=2)
SMALL = ("--frames", "8", "--resolution", "32")
STUDY = """
target: structure.latent_mse
trials: 1
sampler: random
scheduler: fifo
base: {{dataset.kind: prepared, dataset.path: {path}, structure.train.epochs: 1, structure.train.batch_size: 8}}
space: {{structure.dropout: {{choice: [0.0, 0.2]}}}}
"""


@pytest.mark.long
def test_pickled_betas_from_files_to_a_trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bmd = write_bmd(tmp_path / "bmd", subjects=(1,), videos=VIDEOS)
    algonauts = write_algonauts2021(tmp_path / "algonauts", subjects=(1,), videos=VIDEOS)
    write_annotations(algonauts / "annotations.json", VIDEOS)
    captions = ("--caption", str(algonauts / "annotations.json"))
    given = {"bmd": [str(bmd), "--betas", "MNI152"], "algonauts2021": [str(algonauts), *captions]}
    for reader, words in given.items():
        out = tmp_path / "prepared" / reader
        assert main([reader, *words, "--out", str(out), *SMALL]) == 0
        assert "22 clips, 1 subject(s), split by given (" in capsys.readouterr().out
        assert main(["validate", str(out)]) == 0
        assert "Data card: " in (out / "card.md").read_text()
        file = tmp_path / f"{reader}.yaml"
        file.write_text(STUDY.format(path=out))
        summary = run_study(load_study(file), inline_in(tmp_path / "home"))
        assert summary.trials["completed"] == 1
        executed = {"bmd": 5, "algonauts2021": 3}  # the latter finds clips and features in the store
        assert summary.stage_runs["executed"] == executed[reader]
