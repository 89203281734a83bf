"""The only place for the metric math that alarms here use: arithmetic, comparisons, AND, OR, IF, FILL, MIN, MAX.

A missing datum makes a result missing, save in FILL and IF's other branch; so does a division by zero (CloudWatch
User Guide, "Using metric math", where results that are no number are no data points). Everything else is refused.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

Value = float | None
Compiled = Callable[[Mapping[str, Value]], Value]


class ExpressionError(ValueError):
    """An expression that this evaluator does not know; the message says where."""


@cache
def compile_expression(text: str) -> Compiled:
    """The expression as a function of the values by id.

    Raises:
        ExpressionError: it is no metric math, or uses what is not carried here.
    """
    python = re.sub(r"&&|\bAND\b", " and ", text)
    python = re.sub(r"\|\||\bOR\b", " or ", python).replace("^", "**")
    try:
        tree = ast.parse(python.strip(), mode="eval")
    except SyntaxError as error:
        raise ExpressionError(f"{text!r} cannot be understood: {error.msg}") from error
    return _compiled(tree.body, text)


def _compiled(node: ast.expr, text: str) -> Compiled:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        constant = float(node.value)
        return lambda _: constant
    if isinstance(node, ast.Name):
        name = node.id
        return lambda values: values[name]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _compiled(node.operand, text)
        return lambda values: None if (value := inner(values)) is None else -value
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        return _both(_ARITHMETIC[type(node.op)], node.left, node.right, text)
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARISONS:
        return _both(_COMPARISONS[type(node.ops[0])], node.left, node.comparators[0], text)
    if isinstance(node, ast.BoolOp):
        join = any if isinstance(node.op, ast.Or) else all
        parts = [_compiled(each, text) for each in node.values]
        return lambda values: float(join(bool(part(values)) for part in parts))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _function(node.func.id, [_compiled(each, text) for each in node.args], text)
    raise ExpressionError(f"{text!r} uses {ast.unparse(node)!r}, which is not carried here")


def _function(name: str, parts: list[Compiled], text: str) -> Compiled:
    if name == "FILL" and len(parts) == 2:
        return lambda values: parts[1](values) if (value := parts[0](values)) is None else value
    if name == "IF" and len(parts) == 3:

        def chosen(values: Mapping[str, Value]) -> Value:
            condition = parts[0](values)
            return None if condition is None else parts[1 if condition else 2](values)

        return chosen
    if name in ("MIN", "MAX") and parts:
        pick = min if name == "MIN" else max

        def extreme(values: Mapping[str, Value]) -> Value:
            found = [value for part in parts if (value := part(values)) is not None]
            return pick(found) if found else None

        return extreme
    raise ExpressionError(f"{text!r} uses {name} with {len(parts)} arguments, which is not carried here")


def _both(join: Callable[[float, float], Value], left: ast.expr, right: ast.expr, text: str) -> Compiled:
    one, other = _compiled(left, text), _compiled(right, text)

    def joined(values: Mapping[str, Value]) -> Value:
        first, second = one(values), other(values)
        return None if first is None or second is None else join(first, second)

    return joined


_ARITHMETIC: dict[Any, Callable[[float, float], Value]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b if b else None,
    ast.Pow: lambda a, b: a**b,
}
_COMPARISONS: dict[Any, Callable[[float, float], Value]] = {
    ast.Gt: lambda a, b: float(a > b),
    ast.GtE: lambda a, b: float(a >= b),
    ast.Lt: lambda a, b: float(a < b),
    ast.LtE: lambda a, b: float(a <= b),
    ast.Eq: lambda a, b: float(a == b),
    ast.NotEq: lambda a, b: float(a != b),
}
