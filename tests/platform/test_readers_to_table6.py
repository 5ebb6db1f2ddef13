"""Every reader of videos from files to a finished small table6, with its card and maps."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from platform.ablate import main as ablate
from platform.prepare import main as prepare_verb
from tests.fakes.every_reader import FAKES, PLANTED
from trainables.datasets.prepared.read import open_prepared
from trainables.preparation.brain_maps import region_means, reliability_maps
from trainables.preparation.readers import READERS

TABLE6 = """
# table6 with three seeds, one epoch and small networks: it shows the way, and no result.
primary: [evaluate.test_ssim, evaluate.test_epe]
seeds: 3
unit: seeds
# With three seeds no p is below .25.
alpha: 0.4
subjects: [0]
baseline:
  dataset: {{kind: prepared, path: {path}}}
  features: {{image_variants: 0, text_variants: 0, latent_size: 8, resolution: 32}}
  semantic.train: {{epochs: 1, batch_size: 8}}
  structure.train: {{epochs: 1, batch_size: 8}}
  motion: {{width: 16, attention_width: 8, heads: 2, ffn_width: 16, encoder_hidden: 8, mlp_hidden: 8, patch_size: 8}}
  motion.train: {{epochs: 1, batch_size: 8}}
  generator: {{steps: 2, noise_timestep: 400, validation_clips: 2, test_clips: 3}}
  evaluate.shuffles: 3
components:
  semantic: {{reconstruct.semantic: noise}}
  structure: {{reconstruct.structure: noise}}
  motion: {{motion.kind: per_frame_mlp}}
leave_one_out: [semantic, structure, motion]
family: {{wo_structure: [evaluate.test_ssim]}}
"""


def test_every_reader_of_videos_has_a_fake() -> None:
    """Those of a lab's own arrays are in docs/data-format.md; NSD has images, and motion is refused."""
    assert {*FAKES} == {*READERS} - {"rows", "series", "nsd"}


@pytest.mark.parametrize("reader", PLANTED)
def test_the_planted_regions_repeat_best_in_their_hemisphere(reader: str, tmp_path: Path) -> None:
    """The first subject of each: noise ceilings by region."""
    (tmp_path / "source").mkdir()
    FAKES[reader](tmp_path / "source", tmp_path / "data")
    subject = open_prepared(tmp_path / "data").subjects[0]
    ceilings = region_means(reliability_maps(subject.voxels), subject.voxels)["noise_ceiling_n"]
    planted = {name: ceilings[name] for name in PLANTED[reader]}
    others = [value for name, value in ceilings.items() if name not in planted]
    assert min(planted.values()) > 80 > 50 > max(others)


@pytest.mark.long
@pytest.mark.parametrize("reader", FAKES)
def test_from_files_to_a_finished_table6(reader: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "source").mkdir()
    FAKES[reader](tmp_path / "source", tmp_path / "data")
    file = tmp_path / "table6.yaml"
    file.write_text(TABLE6.format(path=tmp_path / "data"))
    assert ablate([str(file), "--inline", "--home", str(tmp_path / "home")]) == 0
    assert "Without structure, SSIM " in capsys.readouterr().out
    (records,) = (tmp_path / "home" / "store" / "studies").glob("*/records/trials.parquet")
    assert [*pq.read_table(records)["outcome"].to_pylist()] == ["COMPLETED"] * 12
    (page,) = (tmp_path / "home" / "reports").glob("*/report.html")
    assert (page.parent / "data_card.html").is_file()
    if reader != "neuroclips":  # it has neither places of voxels nor regions
        words = ["maps", str(tmp_path / "data"), "--out", str(tmp_path / "maps")]
        assert prepare_verb(words) == 0
        assert (tmp_path / "maps" / f"{open_prepared(tmp_path / 'data').subjects[0].name}_regions.png").is_file()
