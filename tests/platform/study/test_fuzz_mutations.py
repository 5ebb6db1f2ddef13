"""Shipped files with parts removed, renamed, added and replaced: a study or a `UserError`, never another exception."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from platform.errors import UserError
from platform.study import yaml_source
from platform.study.ablation_file import build_ablation
from platform.study.sweep_file import build_study
from tests.fuzzing import tried
from tests.mutations import SCALARS, VALUES, mutations
from tests.platform.noop_ablations import NOOP as ABLATION
from tests.platform.study_texts import NOOP
from tests.programs import ROOT

SWEEPS = [NOOP, *(path.read_text(encoding="utf-8") for path in sorted((ROOT / "search_spaces").glob("*.yaml")))]
ABLATIONS = [ABLATION, *(path.read_text(encoding="utf-8") for path in sorted((ROOT / "ablations").glob("*.yaml")))]
NUMBERS = st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e400, 10**30, -1, 0])
ANY = VALUES | NUMBERS | st.sampled_from(["motion", "noop.value", "half", "subjects", "2026-01-01"])
TRIED = tried(25)


@pytest.fixture(autouse=True)
def same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.backbones.fingerprint", lambda config: "some")


def _sweep(text: str, *changes: str) -> None:
    build_study(yaml_source.parse(text, path="f.yaml"), name="f", settings=changes)


def _ablation(text: str, *changes: str) -> None:
    build_ablation(yaml_source.parse(text, path="f.yaml"), settings=changes)


KINDS: dict[str, tuple[Callable[..., None], list[str]]] = {
    "sweep": (_sweep, SWEEPS),
    "ablation": (_ablation, ABLATIONS),
}


def answered(kind: str, data: st.DataObject) -> None:
    build, texts = KINDS[kind]
    document: Any = yaml.safe_load(data.draw(st.sampled_from(texts)))
    text = yaml.safe_dump(data.draw(mutations(document, ANY, most=3)), sort_keys=False, allow_unicode=True)
    with suppress(UserError):
        build(text)


@pytest.mark.parametrize("kind", KINDS)
@TRIED
@given(st.data())
def test_a_shipped_file_that_is_almost_right(kind: str, data: st.DataObject) -> None:
    answered(kind, data)


KEYS = st.sampled_from(
    ["seeds", "primary", "conditions", "conditions.half", "subjects", "vary", "unit", "baseline", "noop.value", "x", ""]
)


@TRIED
@given(KEYS, SCALARS | NUMBERS | VALUES)
def test_settings_of_an_ablation(key: str, value: Any) -> None:
    with suppress(UserError):
        _ablation(ABLATION, f"{key}={yaml.safe_dump(value, default_flow_style=True)}")
