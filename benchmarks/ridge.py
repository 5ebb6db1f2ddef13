"""Ridge regression with a penalty chosen on validation rows: ours against scikit-learn, in time and in the solution.

`python -m benchmarks.ridge [--rows 2400] [--voxels 900] [--targets 900]`. Both try the same penalties on the same rows
and choose for each target. scikit-learn solves once per penalty (`Ridge`), ours decomposes once. The largest difference
of predictions is of the chosen solutions, relative to their largest value.
"""

import argparse
import time

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from trainables.config.decoders import RidgeConfig
from trainables.ridge import RidgeSolver

VALIDATION = 120
Doubles = NDArray[np.float64]


def main() -> None:
    """Print the times and the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name, size in (("rows", 2400), ("voxels", 900), ("targets", 900)):
        parser.add_argument(f"--{name}", type=int, default=size)
    sizes = parser.parse_args()
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(sizes.rows + VALIDATION, sizes.voxels))
    planted = rng.normal(size=(sizes.voxels, sizes.targets)) / sizes.voxels**0.5
    targets = inputs @ planted + rng.normal(size=(len(inputs), sizes.targets))
    began = time.perf_counter()
    ours, penalties = by_ours(inputs, targets)
    between = time.perf_counter()
    theirs = by_scikit_learn(inputs, targets, penalties)
    ended = time.perf_counter()
    difference = np.abs(ours - theirs).max() / np.abs(theirs).max()
    print(f"ours {between - began:.2f} s, scikit-learn {ended - between:.2f} s, ", end="")
    print(f"ratio {(between - began) / (ended - between):.2f}, largest relative difference {difference:.1e}")


def by_ours(inputs: Doubles, targets: Doubles) -> tuple[Doubles, Doubles]:
    """Return the predictions for validation rows, and the penalty of each target."""
    x, y = torch.from_numpy(inputs), torch.from_numpy(targets)
    train, held_out = slice(0, -VALIDATION), slice(-VALIDATION, None)
    solution = RidgeSolver.of(x[train]).chosen(
        y[train], validation=(x[held_out], y[held_out]), penalties=RidgeConfig().alphas, per="target"
    )
    return (x[held_out] @ solution.weight.T + solution.bias).numpy(), solution.penalty.numpy()


def by_scikit_learn(inputs: Doubles, targets: Doubles, chosen: Doubles) -> Doubles:
    """Return the predictions of one `Ridge` per penalty, for each target those of the penalty with least error.

    Raises:
        AssertionError: It chooses other penalties than `chosen`.
    """
    predictions = []
    for penalty in RidgeConfig().alphas:
        fitted = Ridge(alpha=penalty).fit(inputs[:-VALIDATION], targets[:-VALIDATION])
        predictions.append(fitted.predict(inputs[-VALIDATION:]))
    errors = np.stack([((each - targets[-VALIDATION:]) ** 2).sum(axis=0) for each in predictions])
    best = errors.argmin(axis=0)
    assert np.array_equal(np.array(RidgeConfig().alphas)[best], chosen)
    return np.stack(predictions)[best, :, np.arange(targets.shape[1])].T


if __name__ == "__main__":
    main()
