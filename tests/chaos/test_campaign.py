"""The campaign in short: what its seed decides, and two small cases with their checks."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.case import Case
from tests.chaos.faults import FAULTS
from tests.chaos.plan import Plan, Strike, draw_plan
from tests.chaos.servers import Servers
from tests.chaos.studies import STUDIES

CASES = 20


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """None of them is started by the cases below."""
    with Servers(tmp_path_factory.mktemp("servers")) as none:
        yield none


def test_the_seed_decides_what_happens() -> None:
    plans = [draw_plan(3, number) for number in range(CASES)]
    assert plans == [draw_plan(3, number) for number in range(CASES)]
    assert plans != [draw_plan(4, number) for number in range(CASES)]
    strikes = Counter(strike.fault for plan in plans for command in plan.commands for strike in command)
    assert sum(count for name, count in strikes.items() if FAULTS[name].kills) >= 100
    assert len({plan.study.name for plan in plans}) == CASES


def test_every_fault_is_drawn_for_some_study() -> None:
    plans = (draw_plan(seed, number) for seed in range(5) for number in range(CASES))
    assert {strike.fault for plan in plans for command in plan.commands for strike in command} == FAULTS.keys()


def test_no_command_meets_two_faults_that_end_it_or_one_that_cannot_be() -> None:
    for plan in (draw_plan(seed, number) for seed in range(20) for number in range(len(STUDIES))):
        for command in plan.commands:
            faults = [FAULTS[strike.fault] for strike in command]
            assert sum(fault.ends for fault in faults) == 1
            assert all(fault.possible(plan.study) for fault in faults)


def _case(study: str, *commands: tuple[Strike, ...], servers: Servers) -> Case:
    (kind,) = (kind for kind in STUDIES if kind.name == study)
    return Case(Plan(0, kind, commands), servers)


@pytest.mark.long
def test_a_study_in_one_process(servers: Servers) -> None:
    """The driver dies at a write, in the midst of one, and after one; its disk is full; its clock is hours behind."""
    strikes = [Strike("driver_dies_writing", 0.0, seed) for seed in (1, 4, 7)]
    late = Strike("clock_off", 0.0, 5)
    commands = [(strikes[0],), (strikes[1], late), (Strike("driver_disk_full", 3.0, 6),), (strikes[2],)]
    result = _case("random", *commands, servers=servers).run()
    assert result.problems == []
    assert result.kills["driver_dies_writing"] == 3


@pytest.mark.ray
@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_study_on_ray(servers: Servers) -> None:
    commands = [
        (Strike("worker_killed", 1.0, 1), Strike("worker_killed", 3.0, 2), Strike("driver_killed", 6.0, 3)),
        (Strike("worker_killed", 0.0, 4), Strike("driver_interrupted", 4.0, 5)),
    ]
    result = _case("on_ray", *commands, servers=servers).run()
    assert result.problems == []
    assert result.kills.total() >= 3


def test_the_folder_of_a_case_is_short_enough_for_sockets(servers: Servers, tmp_path: Path) -> None:
    case = _case("random", servers=servers)
    assert len(str(case.folder / "t")) <= 16
    case.remove()
    assert not case.folder.exists()
