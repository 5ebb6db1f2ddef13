"""`platform.reproducible` lists every table and figure with what is lacking, and runs the designs that it names."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from platform import ablate, reproducible
from platform.reproduction.paper_items import ITEMS, NEEDS, lacking
from platform.study.ablation_file import ABLATIONS
from trainables.config.trial import resolve


def listed(capsys: pytest.CaptureFixture[str], tmp_path: Path, *arguments: str) -> dict[str, Any]:
    code = reproducible.main([*arguments, "--home", str(tmp_path), "--json"])
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return {**answer, "code": code}


def test_every_table_and_figure_of_our_designs_is_an_item() -> None:
    designs = {path.stem for path in ABLATIONS.glob("*.yaml") if path.stem.startswith(("table", "fig"))}
    assert designs == {item.design for item in ITEMS.values() if item.design is not None}
    assert {need for item in ITEMS.values() for need in item.needs} == set(NEEDS)
    assert all((item.design is None) == bool(item.note) for item in ITEMS.values())


def test_what_is_lacking_follows_from_settings_and_machine(tmp_path: Path) -> None:
    (tmp_path / "nvidiactl").touch()
    assert set(lacking(resolve({}), devices=tmp_path)) == set(NEEDS)
    (tmp_path / "nvidia0").touch()
    named = resolve({"backbones.clip": "openai/clip-vit-base-patch32@main", "evaluate.vifi": "some/vifi"})
    assert set(NEEDS) - set(lacking(named, devices=tmp_path)) == {"GPU", "CLIP-B/32", "ViFi-CLIP"}


@pytest.mark.long
def test_each_item_has_its_design_and_the_time_of_its_plan(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    answer = listed(capsys, tmp_path)
    assert answer["code"] == 0
    rows = {row["item"]: row for row in answer["items"]}
    assert set(rows) == set(ITEMS)
    assert rows["table6"]["seconds"] > 600
    assert {"CC2017", "SD", "ViT"} <= set(rows["table6"]["lacks"])
    assert rows["table2"]["design"] == "ablations/table2.yaml"
    assert rows["fig5"]["design"] is None
    assert answer["needs"]["SD"]["licence"] == "CreativeML OpenRAIL-M"


def test_chosen_designs_are_run_once_with_the_same_settings(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []

    def fails(argv: list[str]) -> int:
        calls.append(argv)
        return 1

    monkeypatch.setattr(ablate, "main", fails)
    code = reproducible.main(
        ["--run", "table17", "fig20", "--set", "seeds=9", "--home", str(tmp_path), "--inline", "--dry-run"]
    )
    assert code == 1
    (call,) = calls
    assert call[0] == "ablations/table17.yaml"
    assert call[1:3] == ["--set", "seeds=9"]
    assert {"--inline", "--dry-run"} <= set(call), "nothing is left out of what was asked"
    assert "table17" in capsys.readouterr().out


def test_runs_print_their_own_answers_so_that_json_is_of_the_list_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    answer = listed(capsys, tmp_path, "--run", "table17")
    assert answer["code"] == 2
    assert "--json: only for the list" in json.dumps(answer)


@pytest.mark.parametrize(
    ("item", "message"),
    [("tabel6", "there is no item 'tabel6'; did you mean"), ("fig5", "fig5 cannot be run here: drawn in the page")],
)
def test_items_that_cannot_be_run_are_refused(
    item: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    answer = listed(capsys, tmp_path, "--run", item)
    assert answer["code"] == 2
    assert message in json.dumps(answer)


def test_a_finished_item_is_called_done() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    reproducible._show({}, {item.design: 0.0 for item in ITEMS.values() if item.design is not None}, console)
    assert console.export_text().count("done: stored") == sum(item.design is not None for item in ITEMS.values())
