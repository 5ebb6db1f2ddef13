"""Runs the examples in the docstring of one function."""

import doctest
from collections.abc import Callable
from typing import Any


def failures(function: Callable[..., Any], **names: Any) -> int:
    """Return how many examples of `function` fail; they may use `names` without defining them.

    Raises:
        ValueError: It has no example.
    """
    runner = doctest.DocTestRunner()
    globs = {**vars(__import__(function.__module__, fromlist=["_"])), **names}
    (test,) = doctest.DocTestFinder(recurse=False).find(function, globs=globs)
    if not test.examples:
        raise ValueError(f"{function.__qualname__} has no example")
    return runner.run(test).failed
