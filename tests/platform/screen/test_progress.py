"""What a person sees of a study: plain lines, the live table, the final one."""

import io
import time
from collections.abc import Iterable
from dataclasses import replace

import pytest
from rich.console import Console

from platform.events import Finished, TrialEvent
from platform.screen.final_table import short_names
from platform.screen.progress import Progress
from platform.screen.units import duration
from tests.platform.made_up_study import made_up_study, study_events, trial_events


def shown(events: Iterable[TrialEvent], *, terminal: bool = False, trials: int = 4) -> str:
    """Return what is shown when `events` happen now."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=140, markup=False, highlight=False)
    progress = Progress(made_up_study(trials=trials), ui="make ui", console=console)
    for event in events:
        progress.see(replace(event, time=time.time()))
    if terminal:
        time.sleep(0.7)
    progress.close()
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_without_a_terminal_each_finished_trial_is_a_line() -> None:
    text = shown(study_events(trials=6, pruned=1))
    lines = text.splitlines()
    assert [line.split("  ")[0] for line in lines[:6]] == [
        "[1/4] t0000 completed",
        "[2/4] t0001 completed",
        "[3/4] t0002 completed",
        "[4/4] t0003 stopped early",
        "[5/4] t0004 failed",
        "[6/4] t0005 completed",
    ]
    assert "ValueError: the loss is not finite" in lines[4]
    assert "patch_size=" in lines[0]
    assert "\x1b" not in text


def test_warnings_of_stage_runs_and_what_other_code_made_are_shown_once() -> None:
    run = {"identity": "data-0123456789abcdef", "reused": True, "seconds": 1.0, "made_by": "code a; this is code b"}
    ends = [
        Finished(
            trial=f"t000{number}",
            sequence=3,
            time=0.0,
            outcome="COMPLETED",
            metrics={"motion.rollout_mse": 0.5},
            error=None,
            seconds=1.0,
            runs={"data": run},
            warnings=["features: 12 captions are one"],
        )
        for number in range(2)
    ]
    events = [event for number in range(2) for event in (*list(trial_events(number))[:2], ends[number])]
    lines = shown(events).splitlines()
    assert lines.count("warning: features: 12 captions are one") == 1
    read = "data (data-0123456789abcdef) is read from the store; made by code a; this is code b"
    assert lines.count(read) == 1


def test_final_table_has_the_best_the_controls_failures_and_the_way_on() -> None:
    text = shown(study_events(trials=12), trials=14).partition("cmg-1a2b3c4d: ")[2]
    assert text.startswith("9 completed, 2 stopped early, 1 failed, 2 of 14 to do")
    rows = [line.split() for line in text.splitlines()]
    scores = [float(row[1]) for row in rows if row and row[0].startswith("t0") and row[1] != "failed:"]
    assert scores == sorted(scores)
    assert len(scores) == 5
    assert ["control:", "static", "0.62"] in rows
    assert [line for line in text.splitlines() if " failed: " in line] == [
        "t0004 failed: ValueError: the loss is not finite"
    ]
    assert "open it in MLflow: make ui" in text


def test_a_study_that_was_complete_shows_only_its_table() -> None:
    console = Console(file=io.StringIO(), width=140, markup=False)
    progress = Progress(made_up_study(trials=4), console=console)
    for event in study_events(trials=4, pruned=0, failed=0):
        progress.see(replace(event, time=time.time() - 100))
    progress.close()
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert text.startswith("cmg-1a2b3c4d: 4 completed")
    assert "[1/4]" not in text


def test_trials_of_earlier_calls_are_counted_not_listed() -> None:
    console = Console(file=io.StringIO(), width=140, markup=False)
    progress = Progress(made_up_study(trials=4), console=console)
    for index in range(3):
        for event in trial_events(index):
            progress.see(replace(event, time=time.time() - 100 if index < 2 else time.time() + 1))
    progress.close()
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "2 of 4 trials were already finished"
    assert lines[1].startswith("[3/4] t0002 completed")


def test_a_terminal_gets_a_live_table_of_what_runs() -> None:
    unfinished = [event for event in trial_events(1) if event.kind != "finished"]
    text = shown([*trial_events(0), *unfinished], terminal=True)
    assert "1/4 trials: 1 completed" in text
    assert "about" in text
    assert "best so far: t0000  motion.rollout_mse 0.5441 (mean 0.55, static 0.62)" in text
    running = next(line.split() for line in text.splitlines() if line.strip().startswith("t0001"))
    assert running[1:3] == ["motion", "6"]


def test_shared_stage_runs_are_named_while_they_are_prepared() -> None:
    console = Console(file=io.StringIO(), width=140, markup=False)
    progress = Progress(made_up_study(), console=console)
    progress.shared("features", "features-1", "waiting")
    progress.shared("features", "features-1", "running")
    progress.shared("features", "features-1", "done")
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "shared stage features (features-1): running"
    assert lines[1].startswith("shared stage features (features-1): done in 0.")


def test_names_are_short_where_that_is_clear() -> None:
    names = short_names(["motion.train.lr", "structure.train.lr", "motion.depth"])
    assert list(names.values()) == ["motion.train.lr", "structure.train.lr", "depth"]


@pytest.mark.parametrize(("seconds", "text"), [(4.24, "4.2 s"), (187, "3:07 min"), (8100, "2:15 h")])
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text
