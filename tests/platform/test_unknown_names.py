"""A name that a user wrote and nobody knows is answered with the nearest ones, wherever it was written.

Names in YAML files are tested beside their checks (`study/test_sweep_checks.py`, `study/test_ablation_file.py`),
studies and trials in `record/test_study_names.py`.
"""

import importlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform import __main__ as verbs
from platform.errors import UserError
from platform.reporting.cluster_file import read_clusters
from platform.study.config_errors import explain
from storage.names import listing, nearest, question
from trainables.datasets.errors import DatasetError
from trainables.kinds import of_kind
from trainables.preparation.confounds import strategy_parts
from trainables.preparation.lab_folder import unknown_clips
from trainables.preparation.lab_tables import read_table


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("sweep", "f.yaml", "--retry-faild"), "there is no option --retry-faild; did you mean --retry-failed?"),
        (("ablate", "f.yaml", "--hom=x"), "there is no option --hom; did you mean --home?"),
        (("evaluate", "x", "--protocol", "mindsweep1"), "there is no mindsweep1; did you mean mindsweep-1"),
        (("preview", "phantm"), "there is no phantm; did you mean phantom?"),
        (("export", "s", "o", "--videos", "gfi"), "there is no gfi; did you mean gif?"),
        (("confirm", "s", "--against", "frist"), "there is no frist; did you mean first?"),
        (("", "swep"), "there is no swep; did you mean sweep?"),
    ],
)
def test_options_and_their_values(words: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    verb, *arguments = words
    main: Callable[[list[str]], int] = importlib.import_module(f"platform.{verb}").main if verb else verbs.main
    assert main(arguments) == 2
    assert expected in capsys.readouterr().err


def test_kinds_tags_and_strategies() -> None:
    with pytest.raises(ValueError, match=r"motion.kind: there is no 'cgm'; did you mean cmg\?"):
        of_kind({"cmg": 1, "other": 2}, "cgm", field="motion.kind")
    with pytest.raises(ValueError, match=r"strategy 'motoin'; did you mean motion"):
        strategy_parts("motoin")
    error = {"type": "union_tag_invalid", "msg": "", "input": {}, "loc": ("dataset",)}
    context = {"tag": "foldr", "expected_tags": "'phantom', 'folder', 'prepared'"}
    assert explain({**error, "ctx": context}) == (
        "there is no 'foldr'; did you mean folder? there are: folder, phantom, prepared"
    )


def test_columns_and_clips(tmp_path: Path) -> None:
    pq.write_table(pa.table({"clip": ["a"], "captoin": ["b"]}), tmp_path / "t.parquet")
    with pytest.raises(DatasetError, match=r"has no column caption, but clip, captoin \(did you mean captoin\?\)"):
        read_table(tmp_path / "t.parquet", needed=["clip", "caption"])
    (problem,) = unknown_clips(["walk1", "wakl2"], ["walk1", "walk2"], tmp_path / "t.csv", rows="rows")
    assert problem.what.endswith("wakl2 (did you mean walk2 or walk1?)")
    (tmp_path / "c.csv").write_text("name,filn\na,x\n")
    with pytest.raises(UserError, match=r"has no column 'film'; did you mean filn\? there are: filn, name"):
        read_clusters(f"{tmp_path}/c.csv:film", ["a"])


def test_at_most_three_names_are_near_and_a_long_list_is_cut() -> None:
    names = [f"name{number}" for number in range(100)]
    assert question("name", names).count(" or ") == 2
    assert question("other", names) == ""
    assert nearest("zzz", names).endswith("name44 and 60 more")
    assert nearest("a", []) == "there are: none"
    assert listing(["a", "b"]) == "a, b"
