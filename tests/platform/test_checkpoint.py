"""Weights that were trained elsewhere become a folder, and a study runs on it; other files are refused by name."""

import json
import re
import warnings
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from platform.checkpoint import main
from storage.memory import MemoryStore
from storage.runs import RunStore
from tests.trainables.test_on_workers import SMALL
from trainables.config.trial import TrialConfig, resolve
from trainables.execute import execute
from trainables.graph import stage_runs
from trainables.saved import motion_network, semantic_network

VOXELS = 64
STRUCTURE_SIZES = [
    *("--set", "structure.hidden=6", "--set", "features.latent_size=16", "--set", "motion.patch_size=16"),
]
MOTION_SIZES = [
    *("--set", "features.latent_size=4", "--set", "motion.patch_size=4", "--set", "motion.width=64"),
    *("--set", "motion.attention_width=8", "--set", "motion.ffn_width=6", "--set", "motion.encoder_hidden=5"),
]
SEMANTIC_SIZES = ["--set", "semantic.head_hidden=[7, 9]", "--set", "features.condition_tokens=3"]


def structure_of_authors(voxels: int = VOXELS) -> dict[str, Tensor]:
    """Return random weights of their structure decoder: six units, a latent of 4 x 16 x 16."""
    torch.manual_seed(0)
    shapes = {"lin0.0": (6, voxels), "mlp.0.0": (6, 6), "mlp.1.0": (6, 6), "lin1.2": (1024, 6)}
    weights = {f"{name}.weight": torch.randn(shape) for name, shape in shapes.items()}
    biases = {f"{name}.bias": torch.randn(shape[0]) for name, shape in shapes.items()}
    return {**weights, **biases, "lin1.0.weight": torch.randn(6), "lin1.0.bias": torch.randn(6)}


def as_authors_name_it(ours: str) -> str:
    """Return the name in a checkpoint of the CMG, written anew from the table of the comparison of both codes."""
    projections = {"query": "linears.0", "key": "linears.1", "value": "linears.2", "out": "linears1"}
    if match := re.fullmatch(r"blocks\.(\d)\.(temporal|spatial)\.(\w+)\.(\w+)", ours):
        layer, module, part, what = match.groups()
        attention = {"temporal": "self_attn", "spatial": "src_attn"}[module]
        return f"decoder.layers.{layer}.{attention}.{projections[part]}.{what}"
    if match := re.fullmatch(r"blocks\.(\d)\.(\w+)_add\.norm\.(\w+)", ours):
        layer, module, what = match.groups()
        which = ["temporal", "spatial", "ffn"].index(module)
        return f"decoder.layers.{layer}.sublayer.{which}.norm.{ {'weight': 'a_2', 'bias': 'b_2'}[what] }"
    if match := re.fullmatch(r"blocks\.(\d)\.ffn\.([02])\.(\w+)", ours):
        layer, number, what = match.groups()
        return f"decoder.layers.{layer}.feed_forward.{ {'0': 'w_1', '2': 'w_2'}[number] }.{what}"
    if match := re.fullmatch(r"norm\.(\w+)", ours):
        return f"decoder.norm.{ {'weight': 'a_2', 'bias': 'b_2'}[match[1]] }"
    return (
        ours.replace("encoder.layers.0.", "encoder.lin0.")
        .replace("encoder.layers.1.layers.0.", "encoder.mlp.0.")
        .replace("encoder.out.", "encoder.lin1.")
    )


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = main(["import", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def complaint(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["import", *arguments]) == 2
    return capsys.readouterr().err


def config_of(folder: Path) -> TrialConfig:
    released = {"profile": "released_code", "structure.hidden": 6, "structure.weights": str(folder)}
    return resolve({**SMALL, **released, "dataset.voxels": VOXELS, "structure.train.device": "cpu"})


def test_a_study_runs_on_the_authors_structure_decoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = structure_of_authors()
    torch.save({"state_dict": theirs}, tmp_path / "structure.pth")
    code, answer = run(str(tmp_path / "structure.pth"), "--stage", "structure", *STRUCTURE_SIZES, capsys=capsys)
    assert code == 0
    assert answer["parameters"] == sum(tensor.numel() for tensor in theirs.values())
    folder = Path(answer["folder"])
    facts = json.loads((folder / "weights.json").read_text())
    assert (facts["stage"], facts["file"], len(facts["sha256"])) == ("structure", "structure.pth", 64)

    config, runs = config_of(folder), RunStore(MemoryStore(), cache=tmp_path / "cache")
    planned = stage_runs(config, seed=0, targets=["structure"])
    for stage in planned:
        manifest = execute(stage, config, runs=runs, scratch=tmp_path / "scratch")
    assert manifest.history == ()
    predicted = load_file(runs.open(planned[-1].identity).path("predictions.safetensors"))
    fmri = load_file(runs.open(planned[-2].identity).path("voxels.safetensors"))["fmri"][predicted["index"]]
    hidden = F.linear(fmri, theirs["lin0.0.weight"], theirs["lin0.0.bias"])
    for number in range(2):
        hidden = hidden + F.linear(hidden, theirs[f"mlp.{number}.0.weight"], theirs[f"mlp.{number}.0.bias"])
    normed = F.layer_norm(hidden, (6,), theirs["lin1.0.weight"], theirs["lin1.0.bias"]).relu()
    expected = F.linear(normed, theirs["lin1.2.weight"], theirs["lin1.2.bias"])
    torch.testing.assert_close(predicted["first_latent"].flatten(1), expected)


def test_identity_follows_the_weights_and_not_their_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def imported(name: str, scale: float) -> str:
        save_file(
            {key: scale * tensor for key, tensor in structure_of_authors().items()}, tmp_path / f"{name}.safetensors"
        )
        _, answer = run(str(tmp_path / f"{name}.safetensors"), "--stage", "structure", *STRUCTURE_SIZES, capsys=capsys)
        return stage_runs(config_of(Path(answer["folder"])), seed=0, targets=["structure"])[-1].identity

    first, copy, other = imported("a", 1.0), imported("b", 1.0), imported("c", 2.0)
    assert first == copy != other


@pytest.mark.parametrize("stage", ["semantic", "motion"])
def test_every_tensor_of_the_other_decoders_has_its_name(
    stage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"semantic": SEMANTIC_SIZES, "motion": MOTION_SIZES}[stage]
    settings: Mapping[str, Any] = {text.partition("=")[0]: json.loads(text.partition("=")[2]) for text in sizes[1::2]}
    config = resolve({"preset": "paper", "profile": "released_code", **settings})
    if stage == "motion":
        network = motion_network(config.motion.model_dump(), VOXELS, {"latents": [8, 4, 4, 4]})
        theirs = {as_authors_name_it(name): tensor for name, tensor in network.state_dict().items()}
        theirs["tgt_embed.1.pe"] = torch.zeros(8)
    else:
        shapes = {"condition": [2, 768], "embedding": [512]}
        network = semantic_network(config.semantic.model_dump(), VOXELS, shapes)
        theirs = {
            re.sub(r"trunk\.(\d)\.layers\.0\.", lambda m: f"mlp.{int(m[1]) - 1}.", name)
            .replace("trunk.0.", "lin0.")
            .replace("head.", "lin1."): tensor
            for name, tensor in network.state_dict().items()
        }
    torch.save(theirs, tmp_path / "theirs.pth")
    code, answer = run(str(tmp_path / "theirs.pth"), "--stage", stage, *sizes, capsys=capsys)
    assert code == 0, answer
    stored = load_file(Path(answer["folder"]) / "model.safetensors")
    assert stored.keys() == network.state_dict().keys()
    assert all(torch.equal(stored[name], tensor) for name, tensor in network.state_dict().items())


def test_other_labs_name_their_tensors_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file({f"net.{name}": tensor for name, tensor in structure_of_authors().items()}, tmp_path / "lab.safetensors")
    names = {r"net\.lin0\.0\.(.*)": r"layers.0.\1", r"net\.mlp\.0\.0\.(.*)": r"layers.2.layers.0.\1"}
    names |= {r"net\.mlp\.1\.0\.(.*)": r"layers.3.layers.0.\1", r"net\.lin1\.0\.(.*)": r"layers.4.\1"}
    names |= {r"net\.lin1\.2\.(.*)": r"layers.6.\1"}
    (tmp_path / "names.yaml").write_text(json.dumps(names))
    arguments = [str(tmp_path / "lab.safetensors"), "--stage", "structure", *STRUCTURE_SIZES]
    assert run(*arguments, "--names", str(tmp_path / "names.yaml"), capsys=capsys)[0] == 0


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path("executed").touch, ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("lin1.2.bias"), r"missing: layers\.6\.bias"),
        (lambda t: t.update(more=torch.zeros(1)), r"tensors without a name here: more \(matches 0 rules\)"),
        (lambda t: t.update({"lin1.2.bias": torch.zeros(5)}), r"layers\.6\.bias is \[5\], the network has \[1024\]"),
        (lambda t: t.update(epoch=3), r"holds other things than tensors: epoch"),
        (
            lambda t: t.update(evil=Evil()),
            r"holds more than tensors, and reading it could run code: .*pathlib\.PosixPath; .* save its tensors alone",
        ),
        (
            lambda t: t.update({"lin0.0.bias": torch.full((6,), torch.nan)}),
            r"not all .* finite: lin0\.0\.bias;",
        ),
        (
            lambda t: t.update({"lin0.0.bias": torch.ones(6, dtype=torch.int8)}),
            r"whole .*: lin0\.0\.bias; save",
        ),
        (
            lambda t: t.update({f"layer{n}": torch.zeros(1) for n in range(90)}),
            r"layer7 .* and 82 more; is it",
        ),
        (lambda t: t.clear(), r"holds no tensors by name"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_written(
    change: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tensors: dict[str, Any] = structure_of_authors()
    change(tensors)
    torch.save(tensors, "theirs.pth")
    text = complaint("theirs.pth", "--stage", "structure", *STRUCTURE_SIZES, capsys=capsys)
    assert re.search(message, text)
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.pth"], "nothing is executed or half-written"


def test_bad_files_and_arguments_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = tmp_path / "whole.pth"
    torch.save(structure_of_authors(), whole)
    (tmp_path / "cut.pth").write_bytes(whole.read_bytes()[:2000])
    stage = ["--stage", "structure", *STRUCTURE_SIZES]
    (tmp_path / "page.pth").write_text("<html>not found</html>")
    (tmp_path / "empty.pth").touch()
    for name in ("cut", "page", "empty"):
        text = complaint(str(tmp_path / f"{name}.pth"), *stage, capsys=capsys)
        assert f"{name}.pth is damaged or is no checkpoint of torch.save; copy or download it again" in text
    save_file(structure_of_authors(), tmp_path / "cut.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "cut.safetensors").read_bytes()[:2000])
    assert "cut.safetensors is damaged; copy" in complaint(str(tmp_path / "cut.safetensors"), *stage, capsys=capsys)
    assert "cannot be read: Is a directory" in complaint(str(tmp_path), *stage, "--out", "x", capsys=capsys)
    assert "there is no such file" in complaint(str(tmp_path / "absent.pth"), *stage, capsys=capsys)
    wrong = complaint(str(whole), "--stage", "semantic", capsys=capsys)
    assert "does not fit the network of semantic" in wrong
    assert "its names are those of --stage structure" in wrong
    other = complaint(str(whole), "--stage", "motion", capsys=capsys)
    assert "tensors without a name here: lin0.0.weight" in other
    assert "its names are those of --stage structure" in other
    small = complaint(str(whole), "--stage", "structure", capsys=capsys)
    assert "layers.0.weight is [6, 64], the network has [1024, 64]" in small
    assert "--set gives other sizes" in small
    (tmp_path / "whole").mkdir()
    assert "exists already" in complaint(str(whole), *stage, capsys=capsys)


def test_configs_whole_networks_and_programs_are_not_executed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = ["--stage", "structure", *STRUCTURE_SIZES]
    for name, value, what in (
        (
            "config",
            {"state_dict": structure_of_authors(), "args": Namespace(lr=1)},
            "could run code: argparse.N",
        ),
        ("network", torch.nn.Linear(2, 2), "could run code: torch.nn.modules.linear.Linear; where you trust it"),
    ):
        torch.save(value, tmp_path / f"{name}.pth")
        text = complaint(str(tmp_path / f"{name}.pth"), *stage, capsys=capsys)
        assert what in text
        assert "weights_only" not in text, "torch's advice to execute the file is not repeated"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, but OpenAI publishes CLIP in it
        torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "program.pt")  # type: ignore[no-untyped-call]
    assert "is a program (TorchScript), not weights" in complaint(str(tmp_path / "program.pt"), *stage, capsys=capsys)


def test_weights_for_other_voxels_are_refused_where_they_are_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(structure_of_authors(voxels=70), tmp_path / "theirs.pth")
    _, answer = run(str(tmp_path / "theirs.pth"), "--stage", "structure", *STRUCTURE_SIZES, capsys=capsys)
    config, runs = config_of(Path(answer["folder"])), RunStore(MemoryStore(), cache=tmp_path / "cache")
    *inputs, structure = stage_runs(config, seed=0, targets=["structure"])
    for stage in inputs:
        execute(stage, config, runs=runs, scratch=tmp_path / "scratch")
    with pytest.raises(
        ValueError,
        match=r"structure\.weights: .*layers\.0\.weight is \[6, 70\], the network has \[6, 64\]\. Where .* of a su",
    ):
        execute(structure, config, runs=runs, scratch=tmp_path / "scratch")


def test_a_folder_of_something_else_is_refused_when_the_study_is_planned(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"structure\.weights: .* is not a folder that `python -m platform\.checkpoint"
    ):
        stage_runs(config_of(tmp_path), seed=0, targets=["structure"])
