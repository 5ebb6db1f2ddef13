"""Which caption belongs to which clip, and what leaves that unclear."""

import json
import re
import unicodedata
from pathlib import Path
from typing import Literal

import pytest

from trainables.datasets.captions import read_captions
from trainables.datasets.clip_names import natural

Form = Literal["NFC", "NFD"]
FORMS: tuple[Form, ...] = ("NFC", "NFD")
NAMES = ["clip0.gif", "clip1.gif"]


def read(path: Path, content: str, names: list[str]) -> tuple[list[str], str]:
    path.write_text(content, encoding="utf-8")
    captions, problems = read_captions(path, names)
    return captions, "\n".join(map(str, problems))


def test_a_caption_with_a_comma_needs_quotes(tmp_path: Path) -> None:
    good = 'name,caption\nclip0.gif,"a dog, running"\n\nclip1.gif,a cat\n'
    assert read(tmp_path / "captions.csv", good, NAMES) == (["a dog, running", "a cat"], "")
    captions, told = read(tmp_path / "captions.csv", good.replace('"', ""), NAMES)
    assert captions == []
    assert "line 2 has 3 value(s) for 2 columns; a caption with a comma must stand in double quotes" in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("name,caption\nclip0.gif,a\nclip1.gif\n", r"line 3 has 1 value\(s\) for 2 columns"),
        ('name,caption\nclip0.gif,"a\nclip1.gif,b\n', "line 3: unexpected end of data"),
        ('name,caption\nclip0.gif,"a" dog\nclip1.gif,b\n', "line 2: ',' expected after '\"'"),
        ("name,caption,caption\nclip0.gif,a,b\nclip1.gif,a,b\n", "names 2 columns caption; one is needed"),
        ("name,text\nclip0.gif,a\n", r"must name the columns name and caption, but is \['name', 'text'\]"),
        ("name,caption\nclip0.gif,a\nclip1.gif,b\nclip0.gif,c\n", "two captions for 'clip0.gif': line 2 and line 4"),
    ],
    ids=["too few", "open quote", "text after a quote", "two columns", "no column", "one name twice"],
)
def test_a_table_that_is_unclear_is_refused_with_its_line(tmp_path: Path, content: str, told: str) -> None:
    captions, problems = read(tmp_path / "captions.csv", content, NAMES)
    assert captions == []
    assert problems.count("error:") == 1
    assert re.search(told, problems)


def test_two_keys_for_one_clip_are_refused(tmp_path: Path) -> None:
    captions, told = read(tmp_path / "a.json", json.dumps({"clip0": "a", "clip0.gif": "b", "clip1": "c"}), NAMES)
    assert captions == []
    assert "two captions for 'clip0.gif': 'clip0' and 'clip0.gif'; remove all but one" in told


def test_a_key_that_may_mean_two_clips_is_refused(tmp_path: Path) -> None:
    names = ["a.gif", "a.mp4"]
    captions, told = read(tmp_path / "a.json", json.dumps({"a": "x"}), names)
    assert captions == []
    assert "'a' means 'a.gif' and 'a.mp4'; write the whole name of the file" in told
    assert read(tmp_path / "a.json", json.dumps({"a.mp4": "y", "a.gif": "x"}), names) == (["x", "y"], "")


def test_a_whole_name_comes_before_a_name_without_suffix(tmp_path: Path) -> None:
    content = json.dumps({"walk": "a folder", "walk.gif": "a file"})
    assert read(tmp_path / "a.json", content, ["walk", "walk.gif"]) == (["a folder", "a file"], "")


@pytest.mark.parametrize(("of_file", "of_caption"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_composed_and_decomposed_accents_are_the_same_name(tmp_path: Path, of_file: Form, of_caption: Form) -> None:
    name = unicodedata.normalize(of_file, "caf\u00e9.gif")
    key = unicodedata.normalize(of_caption, "caf\u00e9")
    assert read(tmp_path / "a.json", json.dumps({key: "x"}), [name]) == (["x"], "")
    assert read(tmp_path / "a.csv", f"name,caption\n{key}.gif,x\n", [name]) == (["x"], "")


def test_two_clips_whose_names_differ_in_encoding_only_are_refused(tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "caf\u00e9.gif") for form in FORMS]
    captions, told = read(tmp_path / "a.json", json.dumps({names[0]: "x"}), names)
    assert captions == []
    assert "differ only in how accents are encoded" in told
    _, told = read(tmp_path / "b.json", json.dumps({names[0]: "x", names[1]: "y"}), names)
    assert "two captions for" in told


def test_names_never_tie() -> None:
    names = ["clip00", "clip0", "clip1", "clip01", "clip10"]
    for listed in (names, names[::-1]):
        assert sorted(listed, key=natural) == ["clip0", "clip00", "clip01", "clip1", "clip10"]


def test_the_order_does_not_depend_on_how_accents_are_encoded() -> None:
    for form in FORMS:
        names = [unicodedata.normalize(form, name) for name in ("\u00e9", "f", "z")]
        order = [unicodedata.normalize("NFC", name) for name in sorted(names, key=natural)]
        assert order == ["f", "z", "\u00e9"]
