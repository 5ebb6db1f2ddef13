"""One vocabulary of controls: every name that a trial, an evaluation or a metric uses stands in the table."""

from trainables.judging.controls import CONTROLS, PAIR_CONTROLS, SYSTEM, SYSTEMS, title_of
from trainables.judging.score_tables import column
from trainables.metrics.registry import METRICS


def test_every_control_has_one_entry() -> None:
    assert all(name == control.name and control.title and control.meaning for name, control in CONTROLS.items())
    assert list(SYSTEMS) == [SYSTEM, *(name for name, control in CONTROLS.items() if control.of_videos)]
    assert PAIR_CONTROLS[0] == ""
    assert set(PAIR_CONTROLS[1:]) <= SYSTEMS.keys()
    assert {name for metric in METRICS.values() for name in metric.chance_controls} <= CONTROLS.keys()


def test_tables_head_controls_with_their_titles() -> None:
    assert [column("ours", control) for control in PAIR_CONTROLS] == [
        "ours",
        "ours: first frame held",
        "ours: another clip's fMRI",
    ]
    assert title_of("of_another_version") == "of another version"
