"""Weights that a study cannot use are refused when it is planned: which field, what is wrong, and what to do."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from platform import ablate, sweep
from platform.checkpoint import main
from tests.platform.test_checkpoint import STRUCTURE_SIZES, structure_of_authors
from trainables.backbones.sources import PHANTOM
from trainables.config.trial import resolve
from trainables.graph import stage_runs

ABLATION = "ablations/table6.yaml"
SIZES = ["--set", "structure.hidden=6"]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    save_file(structure_of_authors(voxels=900), tmp_path / "theirs.safetensors")
    assert main(["import", str(tmp_path / "theirs.safetensors"), "--stage", "structure", *STRUCTURE_SIZES]) == 0
    return tmp_path / "theirs"


def planned(
    tmp_path: Path, *settings: str, capsys: pytest.CaptureFixture[str], file: str = ABLATION
) -> tuple[int, str]:
    """Return the exit code and the messages of a dry run with `settings`."""
    verb = sweep if "search_spaces" in file or file.endswith("sweep.yaml") else ablate
    options = [part for setting in settings for part in ("--set", setting)]
    code = verb.main([file, *options, "--dry-run", "--home", str(tmp_path / "home")])
    return code, " ".join(capsys.readouterr().err.split())


def refused(tmp_path: Path, *settings: str, capsys: pytest.CaptureFixture[str], file: str = ABLATION) -> str:
    code, text = planned(tmp_path, *settings, capsys=capsys, file=file)
    assert code == 2, text
    return text


def test_weights_of_another_stage_size_or_kind(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = f"structure.weights={weights}"
    text = refused(tmp_path, f"semantic.weights={weights}", capsys=capsys)
    assert f"semantic.weights: {weights} has weights for the stage structure" in text
    text = refused(tmp_path, named, capsys=capsys)
    assert "a network with structure.hidden: 6, but here it is structure.hidden: 256; set these fields as when" in text
    text = refused(tmp_path, named, "structure.hidden=6", "structure.kind=ridge", capsys=capsys)
    assert "has weights of structure.kind: mlp, but structure.kind is ridge, which would be trained" in text


def test_a_condition_with_another_kind_trains_its_own(weights: Path) -> None:
    """Table 6 replaces the motion decoder, and ridge regression all three, in a study with imported weights too."""

    def identity(**overrides: Any) -> str:
        config = resolve({"structure.hidden": 6, **{name.replace("__", "."): v for name, v in overrides.items()}})
        return stage_runs(config, seed=0, targets=["structure"])[-1].identity

    assert identity(structure__weights=str(weights)) != identity()
    replaced = {"structure__kind": "ridge"}
    assert identity(structure__weights=str(weights), **replaced) == identity(**replaced)


def test_tables_of_conditions_are_planned_with_imported_weights(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = planned(tmp_path, f"structure.weights={weights}", "structure.hidden=6", capsys=capsys)
    assert code == 0, text


def test_conditions_and_swept_values_are_refused_where_they_stand(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    design = {
        "primary": ["evaluate.test_ssim"],
        "subjects": [0],
        "seeds": 8,
        "conditions": {
            "sizes": {"structure.weights": str(weights)},
            "judge": {"evaluate.clip": str(PHANTOM / "image_classifier")},
        },
        "family": {"sizes": "all"},
    }
    (tmp_path / "ablation.yaml").write_text(json.dumps(design, indent=1))
    text = refused(tmp_path, capsys=capsys, file=str(tmp_path / "ablation.yaml"))
    assert "conditions.sizes.structure.weights" in text
    assert "conditions.judge.evaluate.clip" in text
    assert "holds vit, which is no CLIP model" in text

    space = {"structure.weights": {"choice": [str(weights), str(tmp_path / "none")]}}
    study: dict[str, Any] = {"target": "structure.latent_mse", "trials": 2, "space": space}
    study["base"] = {"structure.hidden": 6}
    (tmp_path / "sweep.yaml").write_text(json.dumps(study, indent=1))
    text = refused(tmp_path, capsys=capsys, file=str(tmp_path / "sweep.yaml"))
    assert "structure.weights.choice[1]" in text
    assert "choice[0]" not in text, "the other is usable"

    study["base"]["structure.weights"] = str(weights)
    study["space"] = {"structure.residual_layers": {"int": [1, 2]}}
    (tmp_path / "sweep.yaml").write_text(json.dumps(study, indent=1))
    text = refused(tmp_path, capsys=capsys, file=str(tmp_path / "sweep.yaml"))
    assert "structure.residual_layers: is swept, but structure.weights fixes it; leave one of them out" in text


@pytest.mark.parametrize(
    ("field", "folder", "message"),
    [
        ("backbones.clip", "image_classifier", "holds vit, which is no CLIP model"),
        (
            "backbones.stable_diffusion",
            "clip",
            "lacks vae, text_encoder, tokenizer; it must be a Stable Diffusion",
        ),
        ("evaluate.vifi", "video_classifier", "holds videomae, which is no CLIP model"),
        ("evaluate.clip", "stable_diffusion", "has no config.json; it must be the folder of a model (CLIP model)"),
        ("evaluate.image_classifier", "video_classifier", "holds VideoMAEForVideoClassification, which is no image"),
        ("evaluate.video_classifier", "clip", "holds CLIPModel, which is no video classifier"),
    ],
)
def test_networks_of_another_architecture(
    field: str, folder: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = refused(tmp_path, f"{field}={PHANTOM / folder}", capsys=capsys)
    assert f"{field}: {PHANTOM / folder} {message}" in text


def test_the_field_is_named_and_a_file_is_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = refused(tmp_path, "evaluate.vifi=/no/such", capsys=capsys)
    assert "baseline.evaluate.vifi: '/no/such' is no folder here" in text
    # Together with a protocol that asks for the number of classes.
    text = refused(tmp_path, "evaluate.image_classifier=/no/such", "evaluate.protocol=neurons-1", capsys=capsys)
    assert "baseline.evaluate.image_classifier: '/no/such' is no folder here" in text
    (tmp_path / "vifi.pth").touch()
    text = refused(tmp_path, f"evaluate.vifi={tmp_path / 'vifi.pth'}", capsys=capsys)
    assert "is a file; give the folder of a model. ViFi-CLIP's file becomes one by python -m platform.che" in text


def test_names_of_the_hub_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    text = refused(tmp_path, "backbones.clip=openai/clip@abc", "evaluate.vifi=openai/other", capsys=capsys)
    assert "lacks revision abc of openai/clip; fetch it where there is a network (hf download openai/clip --rev" in text
    assert "lacks revision main of openai/other" in text
    model = tmp_path / "hub" / "models--openai--clip"
    (model / "snapshots" / "abc").mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("abc")
    for name in ("openai/clip@abc", "openai/clip"):
        code, text = planned(tmp_path, f"backbones.clip={name}", capsys=capsys)
        assert code == 0, text


def test_settings_of_a_profile_that_a_network_does_not_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    def warnings(*settings: str) -> str:
        caplog.clear()
        file = "ablations/table10.yaml"
        code, _ = planned(tmp_path, "profile=released_code", *settings, capsys=capsys, file=file)
        assert code == 0
        return "\n".join(message for message in caplog.messages if message.startswith("profile:"))

    assert warnings() == ""
    assert "motion.kind: cmg_small_patch does not read them" in warnings("motion.kind=cmg_small_patch")
    assert "motion.train" not in warnings("motion.kind=per_frame_mlp"), "it is trained like the others"
    text = warnings("structure.kind=ridge", "semantic.kind=ridge")
    assert "sets structure.sparsify.unit, structure.sparsify.refresh, structure.sparsify.cumulative and 8 more" in text
    assert len(text.splitlines()) == 2


def test_imported_for_the_released_codes_norm_alone(tmp_path: Path) -> None:
    """Another form of the layer norm fits the same tensors, but computes something else."""
    facts = {"format": 1, "stage": "motion", "kind": "cmg", "network": {"motion.layer_norm": "unbiased"}}
    (tmp_path / "weights.json").write_text(json.dumps(facts))
    torch.save({}, tmp_path / "model.safetensors")
    overrides = {"motion.weights": str(tmp_path)}
    with pytest.raises(ValueError, match=r"motion\.layer_norm: unbiased, but here it is motion\.layer_norm: torch"):
        stage_runs(resolve(overrides), seed=0, targets=["motion"])
    assert stage_runs(resolve({**overrides, "motion.layer_norm": "unbiased"}), seed=0, targets=["motion"])
