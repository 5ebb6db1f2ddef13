"""Runs a campaign: `python -m tests.chaos --seed 1 --cases 20`; `--only N` repeats one case alone.

Each case is added to the file of results as it ends, and a campaign that was stopped goes on after it.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.chaos.case import Case
from tests.chaos.plan import draw_plan
from tests.chaos.servers import Servers


def main() -> int:
    """Run the cases that the file of results does not have; return 1 if any case has a problem."""
    options = _options()
    results = Path(options.results if options.results is not None else f"runs/chaos/seed{options.seed}.jsonl")
    results.parent.mkdir(parents=True, exist_ok=True)
    numbers = range(options.cases) if options.only is None else options.only
    done = {} if options.only is not None else {result["number"]: result for result in _read(results)}
    end = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory(prefix="mindsweep-chaos-") as folder, Servers(Path(folder)) as servers:
        for number in numbers:
            if number in done or time.monotonic() > end or _kills(done.values()) >= options.kills:
                continue
            done[number] = _case(options.seed, number, servers)
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(done[number]) + "\n")
    _print_sum(done.values())
    return int(any(result["problems"] for result in done.values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=20, metavar="N", help="studies (default: 20)")
    parser.add_argument("--only", type=int, nargs="+", metavar="N", help="numbers of the cases to run")
    parser.add_argument("--minutes", type=float, default=60.0, help="start no case after this (default: 60)")
    parser.add_argument(
        "--kills", type=int, default=400, metavar="N", help="start no case after so many (default: 400)"
    )
    parser.add_argument("--results", metavar="FILE", help="default: runs/chaos/seedN.jsonl")
    return parser.parse_args()


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _case(seed: int, number: int, servers: Servers) -> dict[str, Any]:
    case = Case(draw_plan(seed, number), servers)
    result = case.run()
    hurt = ", ".join(f"{name} {count}" for name, count in sorted((result.kills + result.faults).items()))
    _say(
        f"case {number}, {result.study}: {result.kills.total()} kills in {result.commands} commands, "
        f"{result.seconds:.0f} s ({hurt})"
    )
    for problem in result.problems:
        _say(f"  PROBLEM {problem}")
    if result.problems:
        _say(f"  again: python -m tests.chaos --seed {seed} --only {number}   what it left: {case.folder}")
    return result.to_json()


def _kills(results: Iterable[dict[str, Any]]) -> int:
    return sum(sum(result["kills"].values()) for result in results)


def _print_sum(results: Iterable[dict[str, Any]]) -> None:
    results = list(results)
    total: Counter[str] = Counter()
    for result in results:
        total.update(result["kills"])
        total.update(result["faults"])
    wrong = [result["number"] for result in results if result["problems"]]
    _say(
        f"{len(results)} studies, {_kills(results)} kills, {sum(r['commands'] for r in results)} commands, "
        f"{sum(r['seconds'] for r in results) / 60:.1f} min; with problems: {wrong if wrong else 'none'}"
    )
    for name, count in sorted(total.items()):
        _say(f"  {name}: {count}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
