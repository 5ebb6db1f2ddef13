from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from platform.study.domains import AnyDomain, Choice, Integers, LogIntegers, LogUniform, Uniform, kind_of

READ: TypeAdapter[AnyDomain] = TypeAdapter(AnyDomain)


@pytest.mark.parametrize(
    ("raw", "model"),
    [
        ({"choice": [1, "a", True]}, Choice),
        ({"uniform": [0, 1]}, Uniform),
        ({"log_uniform": [1e-4, 1]}, LogUniform),
        ({"int": [1, 5], "step": 2}, Integers),
        ({"log_int": [1, 64]}, LogIntegers),
    ],
)
def test_each_kind_is_read_and_written_as_in_the_file(raw: dict[str, Any], model: type) -> None:
    domain = READ.validate_python(raw)
    assert type(domain) is model
    assert kind_of(domain) in raw
    assert domain.model_dump(mode="json", by_alias=True, exclude_defaults=True) == raw


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, "exactly one of the keys choice, uniform"),
        (3, "exactly one of the keys"),
        ({"choice": [1], "int": [1, 2]}, "exactly one of the keys"),
        ({"choice": []}, "at least 1 item"),
        ({"choice": [1, 2, 1.0]}, "is listed twice"),
        ({"choice": [[[1]]]}, "a list of these"),
        ({"choice": [{"a": 1}]}, "a list of these"),
        ({"choice": [None, "null"]}, "written alike"),
        ({"choice": [[1], [1.0]]}, "listed twice"),
        ({"uniform": [2, 1]}, "lower end must be below the upper"),
        ({"uniform": [1, 1]}, "lower end must be below the upper"),
        ({"uniform": [0]}, "required"),
        ({"uniform": [0, 1, 2]}, "at most 2"),
        ({"uniform": ["0", 1]}, "valid number"),
        ({"uniform": [0, True]}, "valid number"),
        ({"uniform": [0, 1], "step": 0.3}, "the last ends at 0.9"),
        ({"uniform": [0, 1], "step": 1e-9}, "at most 1000000 parts"),
        ({"uniform": [0, 1], "step": 0}, "greater than 0"),
        ({"uniform": [0, 1], "step": -0.5}, "greater than 0"),
        ({"log_uniform": [0, 1]}, "greater than 0"),
        ({"log_uniform": [1e-3, 1], "step": 0.1}, "log domain takes no step"),
        ({"log_int": [0, 8]}, "greater than or equal to 1"),
        ({"log_int": [1, 8], "step": 2}, "log domain takes no step"),
        ({"int": [1, 2.5]}, "valid integer"),
        ({"int": [5, 2]}, "lower end must be below the upper"),
        ({"int": [0, 5], "step": 2}, "the last ends at 4"),
        ({"int": [0, 5], "stepp": 1}, "Extra inputs"),
        ({"int": [0, 2**70]}, "less than or equal to"),
    ],
)
def test_what_is_no_domain(raw: Any, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        READ.validate_python(raw)
    assert message in str(caught.value)


def test_steps_are_exact_decimals() -> None:
    domain = READ.validate_python({"uniform": [0, 0.9], "step": 0.1})
    assert domain.values() == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    assert domain.size == 10


@pytest.mark.parametrize(
    ("raw", "inside", "outside"),
    [
        ({"choice": [1, "a"]}, [1, 1.0, "a"], [True, "b", 2]),
        ({"uniform": [0, 1]}, [0, 1, 0.123], [-0.1, 1.1, "0", True]),
        ({"uniform": [0, 1], "step": 0.25}, [0.25, 0.75, 1], [0.3, 1.25]),
        ({"int": [1, 9], "step": 4}, [1, 5, 9, 5.0], [3, 13, 5.5, True]),
        ({"log_int": [1, 8]}, [1, 3, 8], [0, 9, 2.5]),
        ({"log_uniform": [1e-4, 1]}, [1e-4, 0.5], [0, 2]),
    ],
)
def test_what_is_inside(raw: dict[str, Any], inside: list[Any], outside: list[Any]) -> None:
    domain = READ.validate_python(raw)
    assert [value for value in inside if not domain.contains(value)] == []
    assert [value for value in outside if domain.contains(value)] == []


class Recorder:
    """Notes what it is asked, and answers with a value off the step."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def choice(self, name: str, options: tuple[Any, ...]) -> Any:
        self.asked.append((name, options))
        return options[-1]

    def uniform(self, name: str, low: float, high: float, *, log: bool, step: float | None) -> float:
        self.asked.append((name, low, high, log, step))
        return 0.30000000000000004

    def integer(self, name: str, low: int, high: int, *, log: bool, step: int) -> int:
        self.asked.append((name, low, high, log, step))
        return high


def test_what_samplers_are_asked() -> None:
    recorder = Recorder()
    raws: list[dict[str, Any]] = [
        {"choice": ["a", "b"]},
        {"uniform": [0, 1]},
        {"uniform": [0, 1], "step": 0.1},
        {"log_uniform": [0.1, 1]},
        {"int": [0, 4]},
        {"int": [0, 4], "step": 2},
        {"log_int": [1, 4]},
    ]
    values = [READ.validate_python(raw).suggest("x", recorder) for raw in raws]
    assert values == ["b", 0.30000000000000004, 0.3, 0.30000000000000004, 4, 4, 4]
    assert recorder.asked == [
        ("x", ("a", "b")),
        ("x", 0, 1, False, None),
        ("x", 0, 1, False, 0.1),
        ("x", 0.1, 1, True, None),
        ("x", 0, 4, False, 1),
        ("x", 0, 4, False, 2),
        ("x", 1, 4, True, 1),
    ]


def test_one_value_of_a_condition_is_a_list_of_one() -> None:
    domain = READ.validate_python({"int": [1, 2], "when": {"a.b": "x", "c.d": [1, 2]}})
    assert domain.when == {"a.b": ("x",), "c.d": (1, 2)}
