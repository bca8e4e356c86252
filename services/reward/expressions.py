"""Reward functions as a YAML file: for each game, kind or action, named parts that are arithmetic over facts.

    village:
      chat:
        content: 0.4 if content else -0.2
        gold: clip(gold_gained / 100, 0, 0.2)

The language is numbers, words, facts by name, `+ - * /`, comparisons, `and or not`, `a if c else b`, `min`, `max`, `clip`,
`abs` and `known(fact, default)`. The law: an expression only ever reckons with the facts it is given, within fixed bounds;
what it can't reckon (a missing fact, a word where a number belongs, a division by 0) contributes nothing. Every mistake is
named with its line before a service starts.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hearthmind.typed_yaml import Mistake, Reading, near
from services.reward.rewards import Fact, Facts, Parts, RewardFunction, clipped, is_number, number

LENGTH_MAX = 300
NODES_MAX = 100
"""Of one expression."""
PARTS_MAX = 32
FUNCTIONS_MAX = 1_000
"""Of a file."""

Evaluate = Callable[[Facts], Fact]


class Unreckonable(ArithmeticError):
    """There is no such number."""


class BadExpression(ValueError):
    """What is wrong with an expression."""


def _missing(*_: object) -> float:
    raise Unreckonable


def _plain(value: Fact) -> float:
    if isinstance(value, str) or not is_number(float(value)):
        raise Unreckonable
    return float(value)


def _divide(left: float, right: float) -> float:
    return left / right if right else _missing()


_ARITHMETIC: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _divide,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Fact, Fact], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: lambda left, right: _plain(left) < _plain(right),
    ast.LtE: lambda left, right: _plain(left) <= _plain(right),
    ast.Gt: lambda left, right: _plain(left) > _plain(right),
    ast.GtE: lambda left, right: _plain(left) >= _plain(right),
}
_CALLS: Mapping[str, tuple[Callable[..., float], int, int]] = {
    "min": (min, 2, 8),
    "max": (max, 2, 8),
    "clip": (clipped, 3, 3),
    "abs": (abs, 1, 1),
}
"""With how few and how many numbers each is called."""


def compiled(expression: str) -> Callable[[Facts], float]:
    """The expression as a function of facts; raises `BadExpression`, and the function `Unreckonable`."""
    if len(expression) > LENGTH_MAX:
        raise BadExpression(f"it is longer than {LENGTH_MAX} characters")
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BadExpression(f"it can't be read: {getattr(error, 'msg', None) or error}") from None
    if sum(1 for _ in ast.walk(tree)) > NODES_MAX:
        raise BadExpression(f"it has more than {NODES_MAX} parts; split it")
    evaluate = _compiled(tree)
    return lambda facts: _plain(evaluate(facts))


def _compiled(node: ast.expr) -> Evaluate:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return lambda _: value
        case ast.Name(id=name):
            return lambda facts: _fact(facts, name)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            reckon, a, b = _ARITHMETIC[type(op)], _compiled(left), _compiled(right)
            return lambda facts: _plain(reckon(_plain(a(facts)), _plain(b(facts))))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            of = _compiled(operand)
            return lambda facts: -_plain(of(facts))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            of = _compiled(operand)
            return lambda facts: not of(facts)
        case ast.BoolOp(op=op, values=values):
            each, join = [_compiled(value) for value in values], all if isinstance(op, ast.And) else any
            return lambda facts: join(bool(one(facts)) for one in each)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
            compare, a, b = _COMPARISONS[type(op)], _compiled(left), _compiled(right)
            return lambda facts: compare(a(facts), b(facts))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            asked, yes, no = _compiled(test), _compiled(body), _compiled(orelse)
            return lambda facts: yes(facts) if asked(facts) else no(facts)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return _called(name, arguments)
    raise BadExpression(
        f"{ast.unparse(node)[:60]!r} is not part of the language: it reckons with facts, and nothing else"
    )


def _called(name: str, arguments: list[ast.expr]) -> Evaluate:
    if name == "known":
        match arguments:
            case [ast.Name(id=fact), default]:
                otherwise = _compiled(default)
                return lambda facts: _fact(facts, fact) if fact in facts else otherwise(facts)
        raise BadExpression("known is called with a fact and what counts where it is missing: known(uptime, 0.5)")
    if name not in _CALLS:
        raise BadExpression(f"there is no function {name!r}{near(name, {**_CALLS, 'known': None})}")
    function, fewest, most = _CALLS[name]
    if not fewest <= len(arguments) <= most:
        raise BadExpression(f"{name} is called with {fewest if fewest == most else f'{fewest} to {most}'} numbers")
    each = [_compiled(argument) for argument in arguments]
    return lambda facts: function(*(_plain(one(facts)) for one in each))


def _fact(facts: Facts, name: str) -> Fact:
    fact = facts.get(name)
    if isinstance(fact, str | bool):
        return fact
    found = number(facts, name)
    return _missing() if found is None else found


# ---- the file ----------------------------------------------------------------------------------------------------------


def functions_in(text: str) -> tuple[dict[str, dict[str, RewardFunction]], list[Mistake]]:
    """The reward functions of a file, by game and by kind or action, and what is wrong with it."""
    reading = Reading(text)
    found: dict[str, dict[str, RewardFunction]] = {}
    if reading.root is None:
        if not reading.mistakes:
            reading.mistakes.append(Mistake(1, "the file is empty; it begins with a game's name"))
        return found, reading.mistakes
    for game, _, kinds in reading.entries(reading.root, "the file"):
        for kind, key, parts in reading.entries(kinds, game):
            read = dict(_parts(reading, f"{game}.{kind}", parts))
            if not read:
                reading.wrong(key, f"{game}.{kind} has no part that can be reckoned")
            found.setdefault(game, {})[kind] = _function(read)
    if sum(map(len, found.values())) > FUNCTIONS_MAX:
        reading.wrong(reading.root, f"the file has more than {FUNCTIONS_MAX} reward functions")
    return found, sorted(reading.mistakes)


def _parts(reading: Reading, where: str, node: Any) -> Iterator[tuple[str, Callable[[Facts], float]]]:
    for number_, (name, key, value) in enumerate(reading.entries(node, where)):
        if number_ >= PARTS_MAX:
            reading.wrong(key, f"{where} has more than {PARTS_MAX} parts")
            return
        said = getattr(value, "value", None)
        if not isinstance(said, str):
            reading.wrong(value, f"{where}.{name} has to be an expression, such as `gold / 100`")
            continue
        try:
            yield name, compiled(said)
        except BadExpression as error:
            reading.wrong(value, f"{where}.{name}: {error}")


def _function(parts: Mapping[str, Callable[[Facts], float]]) -> RewardFunction:
    def function(facts: Facts) -> Parts:
        return {name: _reckoned(evaluate, facts) for name, evaluate in parts.items()}

    return function


def _reckoned(evaluate: Callable[[Facts], float], facts: Facts) -> float | None:
    try:
        return evaluate(facts)
    except (ArithmeticError, TypeError, ValueError):
        return None
