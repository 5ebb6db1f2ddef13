"""The maps of an ablation's trials: a page of its report, and files of each trial in MLflow."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from mlflow import MlflowClient

from platform.ablate import main
from platform.figures.map_stages import MAP_STAGES, has_maps
from platform.tracking_uri import default_tracking
from tests.fakes.every_reader import prepare_mosaic
from tests.platform.mirrored import runs_of
from trainables.stage_table import STAGES

ENCODING = """
primary: [encoding_accuracy.test_motion_r]
subjects: [0]
seeds: 1
unit: seeds
baseline:
  dataset: {{kind: prepared, path: {path}}}
  features: {{image_variants: 0, text_variants: 0}}
conditions: {{}}
"""


def test_map_stages_exist() -> None:
    assert set(MAP_STAGES) < set(STAGES)
    assert not has_maps(["evaluate", "voxels"])


@pytest.mark.long
def test_report_and_mlflow_show_the_maps(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    prepare_mosaic(tmp_path / "source", tmp_path / "data")
    (tmp_path / "encoding.yaml").write_text(ENCODING.format(path=tmp_path / "data"))
    home = tmp_path / "home"
    assert main([str(tmp_path / "encoding.yaml"), "--inline", "--home", str(home)]) == 0
    report = home / "reports" / "encoding"
    files = {path.name for path in (report / "maps").iterdir()}
    assert {"sub-01.dscalar.nii", "sub-01_regions.png"} <= files
    page = (report / "maps.html").read_text()
    assert "data:image/png;base64," in page
    assert 'href="maps.html"' in (report / "report.html").read_text()
    assert "![sub-01_regions](maps/sub-01_regions.png)" in (report / "maps.md").read_text()
    image: Any = nib.load(report / "maps" / "sub-01.dscalar.nii")
    assert {"noise_ceiling_n", "encoding motion"} <= {*image.header.get_axis(0).name.tolist()}
    assert np.isfinite(image.get_fdata()).any()
    client = MlflowClient(default_tracking(home))
    (trial,) = runs_of(client, "encoding")[1].values()
    logged = [item.path for item in client.list_artifacts(trial.info.run_id, "maps")]
    assert {Path(path).name for path in logged} == files
