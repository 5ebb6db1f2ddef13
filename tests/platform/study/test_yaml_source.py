from pathlib import Path
from typing import Any

import pytest

from platform.errors import UserError
from platform.study.yaml_source import parse, parse_value, read


def value(text: str) -> Any:
    return parse(f"key: {text}", path="f.yaml").data["key"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001),
        ("-2.5E4", -25000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("012", 12),
        ("0x1f", 31),
        ("0o17", 15),
        ("1_000", "1_000"),
        ("true", True),
        ("yes", "yes"),
        ("on", "on"),
        ("null", None),
        ("", None),
        ("2024-01-01", "2024-01-01"),
        ("12:30:00", "12:30:00"),
        ("'1'", "1"),
        ("[1, a, {b: [c]}]", [1, "a", {"b": ["c"]}]),
    ],
)
def test_scalars_are_read_as_yaml_1_2_does(text: str, expected: Any) -> None:
    got = value(text)
    assert got == expected
    assert type(got) is type(expected)


def test_places_of_keys_and_items() -> None:
    source = parse("a: 1\nb:\n  c.d: {e: [10,\n    20]}\n", path="f.yaml")
    assert str(source.location(("a",))) == "f.yaml:1:1"
    assert str(source.location(("b", "c.d"))) == "f.yaml:3:3"
    assert str(source.location(("b", "c.d", "e"))) == "f.yaml:3:9"
    assert str(source.location(("b", "c.d", "e", 1))) == "f.yaml:4:5"


def test_a_path_that_was_not_written_is_placed_at_what_is_around_it() -> None:
    source = parse("a:\n  b: 1\n", path="f.yaml")
    assert str(source.location(("a", "x", "y"))) == "f.yaml:1:1"
    assert str(source.problem(("a", "x"), "is wrong")) == "f.yaml:1:1: a.x: is wrong"


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml:3:1", "written twice; first at f.yaml:1:1"),
        ("a: &x 1\nb: *x", "f.yaml:2:4", "aliases are not supported"),
        ("a: !!python/object/apply:os.system [ls]", "f.yaml:1:1", "tag"),
        ("a: !!set {b, c}", "f.yaml:1:1", "tag"),
        ("1: 2", "f.yaml:1:1", "a key must be a string, but got 1"),
        ("? [a]\n: b", "f.yaml:1:3", "a key must be a string"),
        ("a: .nan", "f.yaml:1:1", "must be a finite number"),
        ("a: -.inf", "f.yaml:1:1", "must be a finite number"),
        ("a: 1e999", "f.yaml:1:1", "must be a finite number"),
        ("a: " + "9" * 5000, "f.yaml:1:1", "at most 300 digits"),
        ("a: !!int abc", "f.yaml:1:1", "must be a finite number"),
        ("a: [" * 1000, "f.yaml:1:", "not valid YAML"),
        ("a: " + "[" * 1000, "f.yaml:1:", "nested deeper"),
        ("a: b: c", "f.yaml:1:5", "not valid YAML"),
        ("a: 'x", "f.yaml:1:", "not valid YAML"),
        ("a: 1\n---\nb: 2", "f.yaml:2:1", "not valid YAML"),
        ("a: \x07", "f.yaml:1:1", "is not allowed in YAML"),
        ("- 1", "f.yaml:1:1", "must hold a mapping"),
        ("text", "f.yaml:1:1", "must hold a mapping"),
        ("", "f.yaml:1:1", "is empty"),
        ("# only a comment", "f.yaml:1:1", "is empty"),
    ],
)
def test_what_is_refused_and_where(text: str, where: str, what: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text, path="f.yaml")
    assert where in str(caught.value)
    assert what in str(caught.value)


def test_all_problems_are_told_at_once_in_order() -> None:
    with pytest.raises(UserError) as caught:
        parse("a: .nan\nb: {c: 1, c: 2}\n3: 4", path="f.yaml")
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [
        "f.yaml:1:1",
        "f.yaml:2:11",
        "f.yaml:3:1",
    ]


def test_a_bomb_of_aliases_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
    with pytest.raises(UserError, match="aliases"):
        parse("\n".join(lines), path="f.yaml")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read(tmp_path / "absent.yaml")
    with pytest.raises(UserError, match="directory"):
        read(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("a: 1\nb: gr\xfcn\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"latin\.yaml:2:1: not UTF-8"):
        read(latin)
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"#" * 100_000)
    with pytest.raises(UserError, match="longer than"):
        read(huge)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "marked.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    source = read(path)
    assert source.data == {"a": 1, "b": 2}
    assert str(source.location(("b",))).endswith(":2:1")


@pytest.mark.parametrize(("text", "expected"), [("3", 3), ("1e-4", 1e-4), ("cmg", "cmg"), ("[256, 128]", [256, 128])])
def test_values_of_settings(text: str, expected: Any) -> None:
    assert parse_value(text) == expected
