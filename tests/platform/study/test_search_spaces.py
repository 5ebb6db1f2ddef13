"""Every file in search_spaces/ is a study that can be planned, short, and explained key by key."""

from pathlib import Path

import pytest

from platform.study.plan import make_plan
from platform.study.sweep_file import load_study
from platform.study.yaml_source import read
from storage.uri import open_store

FOLDER = Path(__file__).resolve().parents[3] / "search_spaces"
FILES = sorted(FOLDER.glob("*"))


def test_the_four_that_the_readme_names_are_there() -> None:
    assert {"cmg.yaml", "semantic.yaml", "structure.yaml", "joint.yaml"} <= {path.name for path in FILES}
    assert all(path.suffix == ".yaml" for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_can_be_planned(path: Path) -> None:
    study = load_study(path)
    plan = make_plan(study, open_store("memory://"))
    assert study.name == path.stem
    assert plan.trials == study.trials * study.repeats
    assert study.own_stages() != ()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_is_under_60_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_key_and_field_has_a_comment_above(path: Path) -> None:
    source = read(path)
    lines = source.text.splitlines()
    sections = ("space", "base")
    bare = []
    for key, location in source.locations.items():
        is_section = len(key) == 1 and key[0] in sections
        if (len(key) == 1 and not is_section) or (len(key) == 2 and key[0] in sections):
            above = lines[location.line - 2].strip()
            if not above.startswith("#"):
                bare.append(".".join(map(str, key)))
    assert bare == []


def test_one_sweeps_loss_weights_patch_size_and_mask_ratio_by_the_video_in_under_an_hour() -> None:
    study = load_study(FOLDER / "end_to_end.yaml")
    weights = {"semantic.alpha", "semantic.lambda_contrast", "semantic.lambda_projection"}
    assert set(study.space.domains) == {*weights, "motion.patch_size", "motion.mask_ratio"}
    assert study.stages == ("evaluate",)
    plan = make_plan(study, open_store("memory://"))
    assert plan.seconds < 3600
    (structure,) = [stage for stage in plan.stages if stage.stage == "structure"]
    assert structure.runs == 1
