"""Whatever stands in a file that a user or a lab wrote: it is read, or refused in words. No other error, no hang."""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform.checkpoint import names_of_file
from platform.errors import UserError
from platform.reporting.cluster_file import read_clusters
from tests.fuzzing import tried
from tests.mutations import VALUES, mutations
from trainables.backbones.preparation import read_preparation
from trainables.config.video import recorded_protocol
from trainables.datasets.errors import DatasetError
from trainables.datasets.prepared.description import description_of
from trainables.datasets.prepared.workspace import Workspace
from trainables.datasets.splits import read_split
from trainables.imported.author_names import renamed
from trainables.imported.weights_folder import read_facts
from trainables.preparation.bids_events import read_events, run_timing
from trainables.preparation.confounds import read_confounds
from trainables.preparation.files import InputError
from trainables.preparation.lab_tables import read_table

TRIED = tried(25)
NAMES = ["one", "two", "three"]
SPLIT = {"one": "train", "two": "validation", "three": "test"}
PREPARATION = {
    "size": {"shortest_edge": 224},
    "crop_size": {"height": 224, "width": 224},
    "resample": 3,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "do_resize": True,
    "rescale_factor": 0.004,
}
SIDECAR = {"RepetitionTime": 2.0, "StartTime": 1.0, "SliceTimingCorrected": True, "DelayTime": 0.0}
EVENTS = "onset\tduration\tstim_file\ttrial_type\n0.0\t2.0\tone.mp4\ttrain\n4.5\t2.0\ttwo.mp4\ttest\n"
CONFOUNDS = "csf\twhite_matter\tglobal_signal\n1.0\t2.0\t3.0\n2.0\t1.0\t3.0\n1.5\t2.5\t3.0\n"
TABLE = "clip_id,caption,film\none,a ball,a\ntwo,a box,b\n"
TENSORS = ["lin0.weight", "lin0.bias", "lin1.weight", "scale"]
PATTERNS = st.text("()[]{}*+?|^$\\\\.,:=!<>Pg0123wd-abclins", max_size=12)
CHANGES = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4)


def changed(text: str, changes: list[tuple[int, int]], cut: int) -> bytes:
    """Return the bytes of `text` without the last ones and with a few others in between."""
    data = bytearray(text.encode())
    for place, value in changes:
        data[place % len(data)] = value
    return bytes(data[: len(data) - cut % len(data)])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


def _read_split(path: Path) -> None:
    split, block, problems = read_split(path, NAMES)
    assert problems or len(split) == len(block) == len(NAMES)


def _read_preparation(path: Path) -> None:
    for kind in ("clip", "image_classifier", "video_classifier"):
        with suppress(ValueError):
            preparation = read_preparation(path, kind=kind, location="here")
            assert len(preparation.mean) == len(preparation.std) == 3
            assert min(preparation.std) > 0.0


def _read_timing(path: Path) -> None:
    tree: Any = SimpleNamespace(sidecars=lambda bold: [path])
    bold: Any = SimpleNamespace(path=path.with_suffix(".nii.gz"))
    with suppress(InputError):
        timing = run_timing(tree, bold)
        assert 0.0 < timing.tr < 1000.0
        assert timing.first_volume_s - timing.first_volume_s == 0.0


def _read_facts(path: Path) -> None:
    folder = path.parent / "weights"
    folder.mkdir(exist_ok=True)
    (folder / "weights.json").write_bytes(path.read_bytes())
    with suppress(ValueError):
        assert read_facts(folder, "motion")["stage"] == "motion"


def _read_part(path: Path) -> None:
    workspace = Workspace(path.parent, path.parent / "out")
    marker = workspace._marker("sub-01")
    marker.parent.mkdir(exist_ok=True)
    marker.write_bytes(path.read_bytes())
    workspace.part("sub-01", {"a": 1})


def _read_description(path: Path) -> None:
    with suppress(DatasetError):
        description_of(path.read_bytes(), str(path))


def _read_names(path: Path) -> None:
    with suppress(UserError, ValueError):
        ours = renamed(TENSORS, names_of_file(path))
        assert ours.keys() <= set(TENSORS)
        assert len(set(ours.values())) == len(ours)


DOCUMENTS: Mapping[str, tuple[Any, str, Callable[[Path], None]]] = {
    "split": (SPLIT, ".json", _read_split),
    "preparation": (PREPARATION, ".json", _read_preparation),
    "sidecar": (SIDECAR, ".json", _read_timing),
    "weights": ({"stage": "motion", "format": 1, "source": {"digest": "a"}}, ".json", _read_facts),
    "part": ({"stamp": {"a": 1}, "facts": {"rows": 3}}, ".json", _read_part),
    "description": (
        {"format": 1, "name": "set", "subjects": [{"name": "sub-01"}]},
        ".json",
        _read_description,
    ),
    "names": ({r"lin(\d)\.(weight|bias)": r"layers.\1.\2", "scale": None}, ".yaml", _read_names),
}


@pytest.mark.parametrize("name", DOCUMENTS)
@TRIED
@given(st.data())
def test_json(file: Path, name: str, data: st.DataObject) -> None:
    document, suffix, read = DOCUMENTS[name]
    path = file.with_suffix(suffix)
    path.write_text(json.dumps(data.draw(mutations(document) | VALUES)), encoding="utf-8")
    read(path)


def _any_pattern(path: Path, mapping: dict[str, str]) -> None:
    path.write_text(json.dumps(mapping), encoding="utf-8")
    _read_names(path)


@TRIED
@given(st.dictionaries(PATTERNS, PATTERNS, max_size=3))
def test_patterns_of_names(file: Path, mapping: dict[str, str]) -> None:
    _any_pattern(file, mapping)


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        ("(", "a", "the pattern '(' is no regular expression"),
        (".*", r"\1", "cannot be made: invalid group reference 1"),
        (".*", r"\g<x>", "cannot be made: unknown group name 'x'"),
        (".*", "\\", "cannot be made: bad escape"),
    ],
)
def test_a_rule_that_is_no_pattern_is_refused(file: Path, theirs: str, ours: str, expected: str) -> None:
    file.write_text(json.dumps({theirs: ours}))
    with pytest.raises(ValueError, match=re.escape(expected)):
        renamed(TENSORS, names_of_file(file))


@TRIED
@given(mutations({"evaluate": {"protocol": "neurons-1"}}))
def test_a_recorded_config_has_a_protocol(config: Any) -> None:
    assert isinstance(recorded_protocol(config if isinstance(config, dict) else {}), str)


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("text", ["", "[" * 100_000, '{"a":' * 100_000, "NaN", "\udcff", "1" * 5000])
def test_texts_that_are_no_json(file: Path, name: str, text: str) -> None:
    _, suffix, read = DOCUMENTS[name]
    path = file.with_suffix(suffix)
    path.write_bytes(text.encode(errors="surrogateescape"))
    read(path)


def _read_events(path: Path) -> None:
    with suppress(InputError):
        shown, _ = read_events(path, "")
        assert all(stimulus.onset_s - stimulus.onset_s == 0.0 for stimulus in shown)


def _read_confounds(path: Path) -> None:
    with suppress(InputError):
        read_confounds(path, strategy="wm_csf+gsr")


def _read_table(path: Path) -> None:
    with suppress(DatasetError):
        read_table(path, needed=["clip_id"])


def _read_clusters(path: Path) -> None:
    with suppress(UserError):
        assert set(read_clusters(f"{path}:film", ["one", "two"])) == {"one", "two"}


TABLES: Mapping[str, tuple[str, str, Callable[[Path], None]]] = {
    "events": (EVENTS, ".tsv", _read_events),
    "confounds": (CONFOUNDS, ".tsv", _read_confounds),
    "table": (TABLE, ".csv", _read_table),
    "clusters": (TABLE.replace("clip_id", "name"), ".csv", _read_clusters),
    "split": ("name,split\none,train\ntwo,validation\nthree,test\n", ".csv", _read_split),
}


@pytest.mark.parametrize("name", TABLES)
@TRIED
@given(CHANGES, st.integers(0, 60))
def test_tables(file: Path, name: str, changes: list[tuple[int, int]], cut: int) -> None:
    text, suffix, read = TABLES[name]
    path = file.with_suffix(suffix)
    path.write_bytes(changed(text, changes, cut))
    read(path)


@pytest.mark.parametrize("onset", ["nan", "inf", "1e999", ""])
def test_onsets_that_are_no_times_are_refused(file: Path, onset: str) -> None:
    file.write_text(EVENTS.replace("4.5", onset))
    with pytest.raises(InputError, match=r"line 3: .*onset and duration must be numbers"):
        read_events(file, "")


def test_a_line_with_too_many_values_is_refused(file: Path) -> None:
    file.write_text("stim_file\tonset\tduration\none.mp4\t0.0\t2.0\ttwo\n")
    with pytest.raises(InputError, match="line 2 has more values than there are columns"):
        read_events(file, "")


def test_a_column_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"clip_id,\x80\none,a\n")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_table(tmp_path / "t.csv")


def test_a_line_that_ends_early_is_refused(file: Path) -> None:
    file.write_text("stim_file\tonset\tduration\none.mp4\t0.0\t2.0\ntwo.mp4\t1.0\n")
    with pytest.raises(InputError, match="line 3: it ends before the column duration"):
        read_events(file, "")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("image_mean", [0.5], "three numbers"),
        ("image_std", [0.5, 0.5, 0.0], "three numbers above 0"),
        ("size", {"shortest_edge": 0}, "a side of 0 pixels"),
        ("size", {"shortest_edge": 1e9}, "a side of 1000000000.0 pixels"),
        ("rescale_factor", float("inf"), "inf must be a number"),
    ],
)
def test_a_preparation_that_cannot_be_used(file: Path, key: str, value: Any, expected: str) -> None:
    file.write_text(json.dumps({**PREPARATION, key: value}))
    with pytest.raises(ValueError, match=expected):
        read_preparation(file, kind="clip", location="here")
