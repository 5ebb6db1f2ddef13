"""Captions by a tiny, randomly initialised BLIP-2: joined as Algorithm 1 says, seeded, and continued after a kill."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    BlipImageProcessor,
    OPTConfig,
    PreTrainedTokenizerFast,
)

from platform.prepare import main
from tests.trainables.prepared.labs import names, write_clips
from trainables.datasets.errors import DatasetError
from trainables.preparation import captioning
from trainables.preparation.caption_options import CaptionOptions
from trainables.preparation.captioning import joined, write_captions

WORDS = ["a", "the", "dog", "cat", "runs", "red", "ball", "and", "sky", "tree"]


@pytest.fixture(scope="module")
def blip2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a BLIP-2 of 100,000 weights; it says random words of a vocabulary of ten."""
    folder = tmp_path_factory.mktemp("blip2")
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", "<image>", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    text = OPTConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1, ffn_dim=16, num_attention_heads=2,
        word_embed_proj_dim=16, max_position_embeddings=128, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    vision = Blip2VisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    qformer = Blip2QFormerConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        encoder_hidden_size=16,
    )  # fmt: skip
    torch.manual_seed(3)
    config = Blip2Config(
        vision_config=vision, qformer_config=qformer, text_config=text, num_query_tokens=2, image_token_index=4,
        initializer_range=0.9,
    )  # fmt: skip
    model = Blip2ForConditionalGeneration(config)
    model.generation_config.bad_words_ids = [[number] for number in range(1, 5)]  # words only, and no end
    model.generation_config.min_new_tokens = 6
    model.save_pretrained(folder)
    pictures = BlipImageProcessor(size={"height": 28, "width": 28})
    Blip2Processor(pictures, tokenizer, num_query_tokens=2).save_pretrained(folder)
    return folder


def options(blip2: Path, **changes: Any) -> CaptionOptions:
    fields = {"source": "clips", "model": str(blip2), "clip": "phantom", "beams": 1, "words": 4}
    return CaptionOptions.model_validate({**fields, **changes})


CLIPS = np.random.default_rng(0).integers(0, 255, (6, 8, 64, 64, 3), dtype=np.uint8)
NAMES = [f"clip{number}" for number in range(6)]


def test_two_frames_are_joined_if_the_clip_changed_and_one_is_drawn_if_not(blip2: Path) -> None:
    both = ("a dog", "a cat")
    assert joined(both, (0.30, 0.20), "x", options(blip2)) == "a dog then a cat"
    assert joined(both, (0.30, 0.20), "x", options(blip2, joiner="and later")) == "a dog and later a cat"
    drawn = [joined(both, (0.30, 0.27), f"clip{number}", options(blip2)) for number in range(200)]
    assert set(drawn) == {*both}
    assert 70 < drawn.count("a dog") < 130, "with equal probability"
    assert drawn == [joined(both, (0.30, 0.27), f"clip{number}", options(blip2)) for number in range(200)]
    other = [joined(both, (0.30, 0.27), f"clip{number}", options(blip2, seed=1)) for number in range(200)]
    assert other != drawn


def test_captions_are_those_of_the_frames_in_batches_of_any_size(blip2: Path, tmp_path: Path) -> None:
    found = write_captions(NAMES, lambda number: CLIPS[number], tmp_path / "a.json", options(blip2))
    assert json.loads((tmp_path / "a.json").read_text()) == found
    assert [*found] == NAMES
    assert all({*text.split()} <= {*WORDS, "then"} and 1 <= len(text.split()) <= 9 for text in found.values())
    assert not (tmp_path / "a.json.part").exists()
    single = write_captions(NAMES, lambda number: CLIPS[number], tmp_path / "b.json", options(blip2, batch=1))
    assert single == found


def test_one_frame_gives_one_caption(blip2: Path, tmp_path: Path) -> None:
    found = write_captions(
        NAMES, lambda number: CLIPS[number], tmp_path / "a.json", options(blip2, second=1, threshold=0)
    )
    assert all("then" not in text for text in found.values())


def test_it_continues_where_it_was_stopped(blip2: Path, tmp_path: Path) -> None:
    whole = write_captions(NAMES, lambda number: CLIPS[number], tmp_path / "whole.json", options(blip2))
    read: list[int] = []

    def stopped(number: int) -> np.ndarray:
        if number == 4:
            raise KeyboardInterrupt
        read.append(number)
        return np.asarray(CLIPS[number])

    with pytest.raises(KeyboardInterrupt):
        write_captions(NAMES, stopped, tmp_path / "a.json", options(blip2, batch=4))
    log = tmp_path / "a.json.part"
    log.write_text(log.read_text() + '{"clip": "clip5", "cap')  # a line that a kill cut off
    with pytest.raises(DatasetError, match=r"a\.json\.part: was begun with another joiner; give the same options"):
        write_captions(NAMES, stopped, tmp_path / "a.json", options(blip2, joiner="next"))
    again: list[int] = []
    steps: list[tuple[int, int]] = []

    def continued(number: int) -> np.ndarray:
        again.append(number)
        return np.asarray(CLIPS[number])

    found = write_captions(
        NAMES, continued, tmp_path / "a.json", options(blip2), lambda new, total: steps.append((new, total))
    )
    assert found == whole
    assert (read, again) == ([0, 1, 2, 3], [4, 5])
    assert steps == [(4, 6), (2, 6)]


def test_too_few_frames_and_empty_texts_are_named(blip2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetError, match="clip0: has 3 frames, but frame 6 is wanted; choose others with --first"):
        write_captions(NAMES, lambda number: CLIPS[number, :3], tmp_path / "a.json", options(blip2))
    monkeypatch.setattr(captioning.Describer, "describe", lambda self, frames, options: [""] * len(frames))
    with pytest.raises(DatasetError, match="clip0: the model says nothing of it; try another --prompt"):
        write_captions(NAMES, lambda number: CLIPS[number], tmp_path / "b.json", options(blip2))


def test_the_verb_describes_a_folder_of_clips(blip2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clips(tmp_path / "lab" / "clips", 3)
    out = tmp_path / "captions.json"
    words = ["captions", str(tmp_path / "lab"), "--out", str(out), "--clip", "phantom", "--beams", "1", "--frames", "4"]
    chosen = ["--first", "1", "--second", "3", "--compared", "2"]
    assert main([*words, *chosen, "--model", str(blip2)]) == 0
    assert "3 captions: " in capsys.readouterr().out
    assert [*json.loads(out.read_text())] == names(3)
    for more, message in (
        (["--model", "nowhere/none/x"], "--model: 'nowhere/none/x' is no folder here"),
        (["--model", str(blip2 / "config.json")], "--model: .* is a file"),
    ):
        assert main([*words, *more]) == 2
        assert message.replace(".* ", "") in capsys.readouterr().err.replace(f"{blip2 / 'config.json'} ", "")
    (tmp_path / "empty").mkdir()
    assert (
        main(["captions", str(tmp_path / "empty"), "--out", str(out), "--clip", "phantom", "--model", str(blip2)]) == 2
    )
    assert "has no clips; name a prepared data set" in capsys.readouterr().err
