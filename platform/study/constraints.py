"""Expressions over fields that a point must satisfy: `motion.width % motion.heads == 0`.

Allowed are arithmetic, comparisons, `and`, `or` and `not` over dotted field names and constants. Nothing else is
evaluated. Numbers with a fraction are compared with a tolerance, since most decimal fractions have no exact float.
"""

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_LENGTH = 200

_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_TOLERANCE = 1e-9
"""Relative to the larger of the two numbers, and absolute near zero: on a grid of tenths, .1 + .2 is .3."""


def _equal(a: Any, b: Any) -> bool:
    numbers = all(isinstance(side, int | float) and not isinstance(side, bool) for side in (a, b))
    if numbers and (isinstance(a, float) or isinstance(b, float)):
        return math.isclose(a, b, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE * 1e-3)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    return bool(a == b)


_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: _equal,
    ast.NotEq: lambda a, b: not _equal(a, b),
    ast.Lt: lambda a, b: a < b and not _equal(a, b),
    ast.LtE: lambda a, b: a <= b or _equal(a, b),
    ast.Gt: lambda a, b: a > b and not _equal(a, b),
    ast.GtE: lambda a, b: a >= b or _equal(a, b),
    ast.In: lambda value, options: any(_equal(value, option) for option in options),
    ast.NotIn: lambda value, options: not any(_equal(value, option) for option in options),
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {ast.Not: operator.not_, ast.USub: operator.neg}
_GRAMMAR = (
    "arithmetic (+ - * / // %), comparisons, `in`, and, or, not, numbers, 'words', null, [lists] and dotted fields may "
    "be used"
)


@dataclass(frozen=True)
class Constraint:
    """One expression. Use `parse_constraint` to create it."""

    text: str
    tree: ast.expr
    fields: tuple[str, ...]
    """The dotted fields that it names."""

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Return whether the expression is true for the `values` of a config (dotted field to value).

        Raises:
            ValueError: The expression cannot be computed, for example because of a division by zero.
        """
        try:
            return bool(_evaluate(self.tree, values))
        except (ArithmeticError, TypeError) as error:
            raise ValueError(f"`{self.text}` cannot be computed: {error}") from error


def parse_constraint(text: str) -> Constraint:
    """Parse an expression. Raises `ValueError` if it is not valid."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"must be at most {MAX_LENGTH} characters; split it at its `and`s")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"is not an expression: {text!r}; {_GRAMMAR}") from error
    fields: dict[str, None] = {}
    _collect(tree, fields)
    return Constraint(text, tree, tuple(fields))


def _collect(node: ast.expr, fields: dict[str, None]) -> None:
    """Collect the fields that `node` names. Raises `ValueError` for syntax that is not allowed."""
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None) | ast.Name(id="null"):
            pass
        case ast.Name() | ast.Attribute():
            fields.setdefault(_dotted(node))
        case ast.BoolOp(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts):
            for part in parts:
                _collect(part, fields)
        case ast.UnaryOp(operand=operand) if type(node.op) in _UNARY:
            _collect(operand, fields)
        case ast.BinOp(left=left, right=right) if type(node.op) in _BINARY:
            _refuse_words(left, right)
            _collect(left, fields)
            _collect(right, fields)
        case ast.Compare(left=left, comparators=rest) if all(type(op) in _COMPARE for op in node.ops):
            for part in (left, *rest):
                _collect(part, fields)
        case _:
            raise ValueError(f"`{ast.unparse(node)[:60]}` is not allowed in a constraint; {_GRAMMAR}")


def _refuse_words(*operands: ast.expr) -> None:
    """Refuse arithmetic on strings and lists: `'a' * 10 ** 9` would fill the memory."""
    for operand in operands:
        if isinstance(operand, ast.List | ast.Tuple) or (
            isinstance(operand, ast.Constant) and isinstance(operand.value, str)
        ):
            raise ValueError(f"arithmetic needs numbers, but got `{ast.unparse(operand)[:60]}`")


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{_dotted(value)}.{name}"
        case _:
            raise ValueError(f"`{ast.unparse(node)[:60]}` is not a field; {_GRAMMAR}")


def _number(value: Any) -> Any:
    if not isinstance(value, int | float):
        raise TypeError(f"arithmetic needs numbers, but got {value!r}")
    return value


def _evaluate(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id="null"):
            return None
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return tuple(_evaluate(part, values) for part in parts)
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_evaluate(part, values) for part in parts)
        case ast.BoolOp(values=parts):
            return any(_evaluate(part, values) for part in parts)
        case ast.UnaryOp(op=op, operand=operand):
            return _UNARY[type(op)](_evaluate(operand, values))
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_number(_evaluate(left, values)), _number(_evaluate(right, values)))
        case ast.Compare(left=left, ops=ops, comparators=rest):
            sides = [_evaluate(side, values) for side in (left, *rest)]
            return all(_COMPARE[type(op)](a, b) for op, a, b in zip(ops, sides, sides[1:], strict=False))
        case _:
            return values[_dotted(node)]
