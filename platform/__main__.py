"""`python -m platform` lists the verbs; each is run as `python -m platform.VERB`."""

import argparse
from collections.abc import Mapping

from rich.console import Console

VERBS: Mapping[str, str] = {
    "sweep": "run the search space in a file, or continue it where it stopped",
    "ablate": "run the ablation in a file, or continue it where it stopped",
    "status": "show how far a study is, from another terminal",
    "report": "make the report of an ablation again, from its records",
    "preview": "draw a data set (clips, captions, fMRI) as a picture",
    "cut": "cut videos into clips for a data set of kind folder",
    "evaluate": "judge videos made anywhere against the true ones",
    "reproduce": "run recorded trials again and say whether the same comes out",
    "rebuild": "make MLflow and the Optuna study anew, from the store's records",
    "export": "write a study as one self-contained folder",
    "import": "take such a folder into a store, after checking every byte",
    "ui": "open the studies in the MLflow UI",
}


def main() -> int:
    """Print the verbs."""
    parser = argparse.ArgumentParser(prog="python -m platform", description="List the verbs of Mindsweep.")
    parser.parse_args()
    console = Console(highlight=False, markup=False)
    console.print("Mindsweep: run from the project's root\n")
    for verb, purpose in VERBS.items():
        console.print(f"  python -m platform.{verb:10} {purpose}", soft_wrap=True)
    console.print("\nEach tells its options with --help.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
