"""Backbones: found, told apart, loaded as the real ones are, and good enough on clips they never saw."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.programs import ROOT, program
from trainables.backbones import fingerprint
from trainables.backbones.evaluate import evaluate
from trainables.backbones.load import load_clip, load_text_encoder, load_vae
from trainables.backbones.material import HELD_OUT, TRAINING, draw_clips
from trainables.backbones.preparation import Preparation
from trainables.backbones.sources import PHANTOM, locate
from trainables.backbones.vae import train_vae
from trainables.config.trial import TrialConfig, resolve
from trainables.graph import stage_runs


def test_phantom_stays_small() -> None:
    parts = [PHANTOM / "clip", *(PHANTOM / "stable_diffusion" / part for part in ("vae", "text_encoder", "tokenizer"))]
    assert sum(file.stat().st_size for part in parts for file in part.glob("*")) < 5_000_000


def test_held_out_scores_reach_their_floors() -> None:
    scores = {s.name: s.value for s in evaluate(load_vae("phantom"), load_clip("phantom"), clips=64, seed=1)}
    assert scores["VAE: PSNR of first frames (dB)"] >= 28.0
    assert scores["VAE: standard deviation of scaled latents"] == pytest.approx(1.0, abs=0.1)
    assert scores["CLIP: image to text, top 1"] >= 0.85
    assert scores["CLIP: text to image, top 1"] >= 0.85


def test_held_out_clips_are_not_those_trained_on() -> None:
    trained, held_out = (draw_clips(stream, seed=0, count=50, frames=2).factors for stream in (TRAINING, HELD_OUT))
    assert np.intersect1d(trained.start_x, held_out.start_x).size == 0
    distinct = draw_clips(HELD_OUT, seed=0, count=64, frames=2, distinct=True)
    assert len(set(distinct.captions)) == 64


def test_any_caption_is_encoded_and_content_matters() -> None:
    encoder, clip = load_text_encoder("phantom"), load_clip("phantom")
    texts = ["", "Ein Mann geht 3× durch den Regen!", "a large red disc moving left over navy stripes " * 5]
    assert encoder.encode(texts, tokens=20).isfinite().all()
    assert clip.texts(texts).isfinite().all()
    assert encoder.unknown([texts[1]]) > 0.8
    assert encoder.unknown([texts[2]]) == 0.0
    red, blue = encoder.encode(["a large red disc", "a large blue disc"], tokens=20)
    after = (red - blue).abs().amax(dim=-1)[3:]
    assert (after > 0.01).all(), "padding sees the content too"


@pytest.mark.parametrize("size", [8, {"shortest_edge": 8}])
def test_preprocessing_is_read_from_the_folder(tmp_path: Path, size: object) -> None:
    folder = Path(shutil.copytree(PHANTOM / "clip", tmp_path / "clip"))
    fields = {"size": size, "image_mean": [0.1, 0.2, 0.3], "image_std": [1.0, 2.0, 4.0]}
    (folder / "preprocessor_config.json").write_text(json.dumps(fields))
    assert load_clip(str(folder)).prepare == Preparation(8, (0.1, 0.2, 0.3), (1.0, 2.0, 4.0), crop=(8, 8))


def test_preparation_by_hand() -> None:
    frame = torch.zeros(1, 4, 8, 3, dtype=torch.uint8)
    frame[:, :, 2:6, 0] = 255  # the square in the middle is red
    prepared = Preparation(4, (0.5, 0.0, 0.25), (0.5, 1.0, 0.25), crop=(4, 4))(frame)
    assert prepared.shape == (1, 3, 4, 4)
    assert torch.allclose(prepared.mean(dim=(0, 2, 3)), torch.tensor([1.0, 0.0, -1.0]))
    grey = torch.full((1, 64, 96, 3), 51, dtype=torch.uint8)
    assert torch.allclose(
        Preparation(16, (0.0,) * 3, (1.0,) * 3, crop=(16, 16))(grey), torch.full((1, 3, 16, 16), 0.2), atol=1e-3
    )


def test_weight_names_of_the_real_text_encoder_load(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(PHANTOM / "stable_diffusion", tmp_path / "sd"))
    weights = folder / "text_encoder" / "model.safetensors"
    bare = {name.removeprefix("text_model."): values for name, values in load_file(weights).items()}
    save_file({f"text_model.{name}": values for name, values in bare.items()}, weights, metadata={"format": "pt"})
    texts = ["a large red disc"]
    same = load_text_encoder(str(folder)).encode(texts, tokens=20)
    assert torch.equal(same, load_text_encoder("phantom").encode(texts, tokens=20))


def test_tokenizer_files_of_the_real_stable_diffusion_load(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(PHANTOM / "stable_diffusion", tmp_path / "sd"))
    tokenizer = folder / "tokenizer"
    for file in tokenizer.iterdir():
        file.unlink()
    words = ["<|startoftext|>", "<|endoftext|>", *"der", *(f"{letter}</w>" for letter in "der"), "re", "red</w>"]
    (tokenizer / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (tokenizer / "merges.txt").write_text("#version: 0.2\nr e\nre d</w>\n")
    ends = {"bos_token": words[0], "eos_token": words[1], "pad_token": words[1], "unk_token": words[1]}
    fields = {**ends, "tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(fields))
    encoder = load_text_encoder(str(folder))
    assert encoder.tokenizer(["Red"]).input_ids == [[0, words.index("red</w>"), 1]]
    assert encoder.encode(["red"], tokens=6).shape[:2] == (1, 6)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(PHANTOM / "stable_diffusion", tmp_path / "sd"))
    shutil.rmtree(folder / "vae")
    with pytest.raises(ValueError, match=r"cannot load the vae from .*sd/vae: the folder lacks it"):
        load_vae(str(folder))
    weights = folder / "text_encoder" / "model.safetensors"
    tensors = load_file(weights)
    name = next(name for name in tensors if name.endswith("fc1.bias"))
    del tensors[name]
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"the text_encoder in .*sd lacks 1 weights .*fc1\.bias"):
        load_text_encoder(str(folder))
    weights.unlink()
    with pytest.raises(ValueError, match=r"cannot load the text_encoder from .*sd/text_encoder"):
        load_text_encoder(str(folder))
    clip = Path(shutil.copytree(PHANTOM / "clip", tmp_path / "clip"))
    (clip / "preprocessor_config.json").write_text("{}")
    with pytest.raises(ValueError, match="needs size, image_mean and image_std"):
        load_clip(str(clip))


def test_sources() -> None:
    assert locate("phantom", kind="clip").location == str(PHANTOM / "clip")
    hub = locate("openai/clip-vit-base-patch32@refs/pr/66", kind="clip")
    assert (hub.location, hub.revision, hub.is_folder) == ("openai/clip-vit-base-patch32", "refs/pr/66", False)
    with pytest.raises(ValueError, match=r"backbones\.clip: '/no/such/folder' is no folder here"):
        locate("/no/such/folder", kind="clip")


def test_fingerprint_follows_the_weights(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(PHANTOM / "clip", tmp_path / "clip"))
    copied = fingerprint(resolve({"backbones.clip": str(folder)}))
    assert copied == fingerprint(resolve({})), "the content counts, not the place"
    weights = folder / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    assert fingerprint(resolve({"backbones.clip": str(folder)})) != copied
    hub = fingerprint(resolve({"backbones.stable_diffusion": "some/model@v2"}))
    assert hub["stable_diffusion"] == {"name": "some/model", "revision": "v2"}


def identities(overrides: dict[str, object]) -> dict[str, str]:
    return {run.stage: run.identity for run in stage_runs(resolve(overrides), seed=0, targets=["evaluate"])}


@pytest.mark.parametrize(
    ("field", "shipped", "first"),
    [
        ("backbones.clip", "clip", "features"),
        ("backbones.stable_diffusion", "stable_diffusion", "features"),
        ("evaluate.vifi", "clip", "evaluate"),
    ],
)
def test_a_folder_of_weights_is_known_by_its_content(tmp_path: Path, field: str, shipped: str, first: str) -> None:
    folder = Path(shutil.copytree(PHANTOM / shipped, tmp_path / "one"))
    before = identities({field: str(folder)})
    moved = folder.rename(tmp_path / "another")
    assert identities({field: str(moved)}) == before
    weights = next(moved.rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"~")
    after = identities({field: str(moved)})
    assert {"evaluate", first} <= {stage for stage in before if before[stage] != after[stage]}


def test_a_hub_name_is_part_of_the_identity() -> None:
    assert identities({"backbones.clip": "a/b"}) != identities({"backbones.clip": "a/c"})


def test_a_folder_is_found_from_another_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PHANTOM / "clip", tmp_path / "models" / "clip")
    (tmp_path / "phantom").mkdir()
    monkeypatch.chdir(tmp_path)
    for written in ("models/clip", "./models/clip", "models/../models/clip"):
        config = resolve({"backbones.clip": written})
        assert config.backbones.clip == str(tmp_path / "models" / "clip")
    assert config.backbones.stable_diffusion == "phantom", "what is shipped, whatever lies here"
    monkeypatch.chdir("/")
    again = TrialConfig.model_validate(config.model_dump(mode="json"))
    assert locate(again.backbones.clip, kind="clip").is_folder
    assert resolve({"backbones.clip": "models/clip"}).backbones.clip == "models/clip", "a hub name"


def test_fingerprint_loads_nothing_heavy() -> None:
    subprocess.run(program("light_fingerprint"), check=True, cwd=ROOT)


def test_training_is_deterministic(tmp_path: Path) -> None:
    for name in ("first", "second"):
        train_vae(tmp_path / name, seed=3, steps=2, batch=4, clips=8)
    first, second = (
        (tmp_path / name / "diffusion_pytorch_model.safetensors").read_bytes() for name in ("first", "second")
    )
    assert first == second
