"""Whatever stands in a file, the answer is a study or a `UserError`; never another exception."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from platform.errors import UserError
from platform.study import yaml_source
from platform.study.study import Study
from platform.study.sweep_file import build_study
from tests.fuzzing import tried
from tests.platform.study_texts import NOOP

FOLDER = Path(__file__).resolve().parents[3] / "search_spaces"
TEXTS = [NOOP, *(path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.yaml")))]
FIELDS = (
    *("motion.patch_size", "motion.train.lr", "motion.head", "noop.value", "noop.fail_at", "dataset.kind", "profile"),
    *("voxels.lag_tr", "semantic.head_hidden", "dataset", "motion", "", ".", "motion..depth", "space"),
)
TRIED = tried(150)


@pytest.fixture(autouse=True)
def same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.backbones.fingerprint", lambda config: "some")


def build(text: str, *changes: str) -> Study | None:
    """Return the study, or None after a `UserError` that has a place and a text."""
    told = ""
    try:
        study = build_study(yaml_source.parse(text, path="f.yaml"), name="f", settings=changes)
        assert study.id.startswith("f-")
    except UserError as error:
        study, told = None, str(error)
    assert study is not None or told.startswith(("f.yaml", "--set"))
    return study


@TRIED
@given(st.text(max_size=200))
@example("{")
@example("a: !!timestamp 2024-01-01")
@example("a: !<tag:yaml.org,2002:null> x")
@example("%YAML 9.9\n---\na: 1")
@example("a: |\n  text\n? b\n")
@example("!!omap [a: 1]")
def test_any_text(text: str) -> None:
    build(text)


@TRIED
@given(st.text(alphabet="abt:{}[],-\n 01.e&*!?|>'\"#%@`~<\t", max_size=120))
def test_texts_of_the_letters_that_yaml_knows(text: str) -> None:
    build(text)


@TRIED
@given(st.binary(max_size=200))
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(data)
    with suppress(UserError):
        yaml_source.read(path)


@TRIED
@given(st.sampled_from(TEXTS), st.data())
def test_a_real_file_with_a_few_letters_changed(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        removed = data.draw(st.integers(0, 4))
        added = data.draw(st.text(alphabet="ab:{}[],-\n 019.e*&!'\"#", max_size=4))
        text = text[:start] + added + text[start + removed :]
    build(text)


@TRIED
@given(st.sampled_from(TEXTS), st.data())
def test_a_real_file_without_some_lines(text: str, data: st.DataObject) -> None:
    lines = text.splitlines(keepends=True)
    kept = data.draw(st.lists(st.sampled_from(range(len(lines))), unique=True, max_size=len(lines)))
    build("".join(lines[index] for index in sorted(kept)))


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 300),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["cmg", "phantom", "folder", "paper", "grid", "cmaes", "asha", "noop.value", "motion.rollout_mse"]),
    st.text(max_size=6),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3)
)
ends = st.lists(st.one_of(st.integers(-3, 20), st.floats(-2, 2), scalars), min_size=1, max_size=3)
domains = st.one_of(
    st.fixed_dictionaries(
        {"choice": st.lists(scalars, max_size=4)}, optional={"when": st.dictionaries(st.sampled_from(FIELDS), values)}
    ),
    *(
        st.fixed_dictionaries(
            {kind: ends},
            optional={"step": scalars, "when": st.dictionaries(st.sampled_from(FIELDS), scalars, max_size=2)},
        )
        for kind in ("uniform", "log_uniform", "int", "log_int")
    ),
    values,
)
documents = st.fixed_dictionaries(
    {
        "target": st.sampled_from(["noop.value", "motion.rollout_mse", "semantic.loss", ["noop.value", "motion.loss"]]),
        "trials": st.just(3) | scalars,
        "space": st.dictionaries(st.sampled_from(FIELDS), domains, max_size=3),
    },
    optional={
        "base": st.dictionaries(st.sampled_from(FIELDS), values, max_size=3),
        "sampler": st.sampled_from(["tpe", "grid", "cmaes"]) | values,
        "scheduler": st.sampled_from(["fifo", "pbt", "asha"]) | values,
        "constraints": st.lists(
            st.sampled_from(["noop.value < 1", "noop.value % noop.fail_at == 0"]) | st.text(max_size=9)
        ),
        "points": st.lists(st.dictionaries(st.sampled_from(FIELDS), values, max_size=2), max_size=2) | values,
        "repeats": st.just(2) | scalars,
        "seed": st.just(1) | scalars,
    },
)


@tried(400)
@given(documents)
def test_files_of_the_right_keys_with_any_values(document: dict[str, Any]) -> None:
    build(yaml.safe_dump(document, sort_keys=False))


@TRIED
@given(
    st.sampled_from(["trials", "seed", "sampler", "scheduler", "target", "noop.epochs", "dataset.kind", "x"]), values
)
def test_settings_of_any_value(key: str, value: Any) -> None:
    build(NOOP, f"{key}={yaml.safe_dump(value, default_flow_style=True)}")


@TRIED
@given(st.text(max_size=30))
def test_any_setting(setting: str) -> None:
    build(NOOP, setting)


@pytest.mark.parametrize("text", TEXTS)
def test_the_unchanged_files_are_studies(text: str) -> None:
    assert build(text) is not None
