"""What happens to a case: drawn from the campaign's seed and the number of the case, before anything runs."""

import random
from dataclasses import asdict, dataclass

from tests.chaos.driver import Inner
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.studies import STUDIES, ChaosStudy


@dataclass(frozen=True)
class Strike:
    """One fault of one command."""

    fault: str
    after: float
    """Of an early fault: seconds after the start of the command; else: events that the command has written."""
    seed: int
    """Of what the fault itself draws."""


@dataclass(frozen=True)
class Plan:
    """A study, and the faults of each of its commands. More commands without faults follow until the study ends."""

    number: int
    study: ChaosStudy
    commands: tuple[tuple[Strike, ...], ...]


def draw_plan(seed: int, number: int) -> Plan:
    """Return the plan of case `number`."""
    chance = random.Random(f"{seed}/{number}")
    study = STUDIES[number % len(STUDIES)]
    count = chance.randint(6, 9) if study.where == "inline" else chance.randint(2, 3)
    return Plan(number, study, tuple(_command(chance, study) for _ in range(count)))


def _command(chance: random.Random, study: ChaosStudy) -> tuple[Strike, ...]:
    possible = [fault for fault in FAULTS.values() if fault.possible(study)]
    ending = [fault for fault in possible if fault.ends]
    passing = [fault for fault in possible if not fault.ends]
    drawn = [*_draw(chance, ending, 1)]
    if chance.random() < (0.4 if study.where == "inline" else 1.0):
        drawn += _draw(chance, passing, 1 if study.where == "inline" else chance.randint(2, 4))
    return tuple(Strike(fault.name, _moment(chance, fault, study), chance.randrange(1 << 30)) for fault in drawn)


def _draw(chance: random.Random, faults: list[Fault], count: int) -> list[Fault]:
    drawn = chance.choices(faults, [fault.weight for fault in faults], k=count)
    return [fault for place, fault in enumerate(drawn) if fault.inner is None or fault not in drawn[:place]]


def _moment(chance: random.Random, fault: Fault, study: ChaosStudy) -> float:
    if fault.early:
        return chance.uniform(0.3, 4.0 if study.where == "inline" else 12.0)
    return float(chance.randint(1, 6) if fault.ends else chance.randint(0, 5))


def inner_of(strikes: tuple[Strike, ...]) -> Inner:
    """Return all that goes wrong by a driver's own doing."""
    usual, values = asdict(Inner()), dict[str, object]()
    for strike in strikes:
        draw = FAULTS[strike.fault].inner
        if draw is not None:
            drawn = asdict(draw(random.Random(strike.seed)))
            values |= {name: value for name, value in drawn.items() if value != usual[name]}
    return Inner(**values)  # type: ignore[arg-type]
