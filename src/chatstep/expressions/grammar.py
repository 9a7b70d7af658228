"""From the tree that Jinja2's parser gives to a function that evaluates it. What is not named here is refused.

For template.py only. Jinja2 is imported here, and this file when an expression is more than a dotted name.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.parser import Parser

from chatstep.expressions.filters import FILTERS, TESTS
from chatstep.expressions.values import LARGEST, Evaluator, Missing, Wrong, as_text, field_of, kind_of, path, too_large
from chatstep.message import clean_text

__all__ = ["compiled"]

_DEEPEST = 60
_MOST_BITS = 256
_MOST_ITEMS = 1_000_000
_ENVIRONMENT = Environment(autoescape=True)


def compiled(source: str) -> tuple[Evaluator, frozenset[tuple[str, ...]]]:
    """What evaluates the expression, and the paths that it reads; raises Wrong."""
    try:
        parser = Parser(_ENVIRONMENT, source, state="variable")
        tree = parser.parse_expression()
        if not parser.stream.eos:
            raise Wrong("There is something behind the end of the expression.", _EXAMPLE)
        compiler = _Compiler()
        return compiler.compile(tree, 0), frozenset(compiler.references)
    except TemplateSyntaxError as problem:
        raise Wrong(f"The expression cannot be read: {problem.message}.", _EXAMPLE) from None
    except RecursionError:
        raise Wrong(_TOO_DEEP) from None
    except (ValueError, OverflowError, SyntaxError):  # a number of thousands of digits
        raise Wrong("The expression holds a number that cannot be read.") from None


_EXAMPLE = "Expressions look like `${{ steps.reply.message }}` or `${{ inputs.count > 3 }}`."
_TOO_DEEP = "The expression is nested too deeply."


class _Compiler:
    """One expression on its way to functions; collects what it refers to."""

    def __init__(self) -> None:
        self.references: set[tuple[str, ...]] = set()

    def compile(self, node: nodes.Expr, depth: int) -> Evaluator:
        """The function for a node; raises Wrong for what expressions do not have."""
        if depth > _DEEPEST:
            raise Wrong(_TOO_DEEP)
        make = self._KINDS.get(type(node))
        if make is None:
            message, hint = _REFUSED.get(type(node), (f"An expression cannot hold {type(node).__name__}.", None))
            raise Wrong(message, hint)
        return make(self, node, depth + 1)

    def _name(self, node: Any, depth: int) -> Evaluator:
        names = _static_path(node)
        if names is not None:
            self.references.add(names)
            return path(names)
        # An index that is a number or is worked out ends the static path.
        inner = self.compile(node.node, depth)
        if isinstance(node, nodes.Getattr):
            name = node.attr
            return lambda scope: field_of(inner(scope), name)
        if isinstance(node.arg, nodes.Slice):
            return self._slice(inner, node.arg, depth)
        index = self.compile(node.arg, depth)
        return lambda scope: field_of(inner(scope), index(scope))

    def _slice(self, inner: Evaluator, node: nodes.Slice, depth: int) -> Evaluator:
        bounds = [self.compile(part, depth) if part else None for part in (node.start, node.stop, node.step)]

        def cut(scope: Mapping[str, Any]) -> Any:
            value = inner(scope)
            if not isinstance(value, (str, list, tuple)):
                raise Wrong(f"`[from:to]` needs a text or a list, got {kind_of(value)}.")
            ends = [bound(scope) if bound else None for bound in bounds]
            if not all(end is None or (isinstance(end, int) and not isinstance(end, bool)) for end in ends):
                raise Wrong("`[from:to]` needs whole numbers.")
            if ends[2] == 0:
                raise Wrong("`[from:to:0]` has no meaning.")
            return value[slice(*ends)]

        return cut

    def _constant(self, node: Any, depth: int) -> Evaluator:
        value = clean_text(node.value) if isinstance(node.value, str) else _bounded(node.value)
        return lambda scope: value

    def _list(self, node: Any, depth: int) -> Evaluator:
        items = [self.compile(item, depth) for item in node.items]
        return lambda scope: [item(scope) for item in items]

    def _dict(self, node: Any, depth: int) -> Evaluator:
        pairs = []
        for pair in node.items:
            if not isinstance(pair.key, nodes.Const) or not isinstance(pair.key.value, str):
                raise Wrong("The keys of `{...}` are texts in quotes.")
            pairs.append((clean_text(pair.key.value), self.compile(pair.value, depth)))
        return lambda scope: {key: value(scope) for key, value in pairs}

    def _both(self, node: Any, depth: int) -> Evaluator:
        left, right = self.compile(node.left, depth), self.compile(node.right, depth)
        if isinstance(node, nodes.And):
            return lambda scope: left(scope) and right(scope)
        return lambda scope: left(scope) or right(scope)

    def _not(self, node: Any, depth: int) -> Evaluator:
        inner = self.compile(node.node, depth)
        return lambda scope: not inner(scope)

    def _signed(self, node: Any, depth: int) -> Evaluator:
        inner = self.compile(node.node, depth)
        sign = -1 if isinstance(node, nodes.Neg) else 1
        return lambda scope: sign * _number(inner(scope), "-" if sign < 0 else "+")

    def _sum(self, node: Any, depth: int) -> Evaluator:
        left, right = self.compile(node.left, depth), self.compile(node.right, depth)
        return lambda scope: _added(left(scope), right(scope))

    def _arithmetic(self, node: Any, depth: int) -> Evaluator:
        left, right = self.compile(node.left, depth), self.compile(node.right, depth)
        sign = node.operator
        work = _ARITHMETIC[type(node)]

        def reckon(scope: Mapping[str, Any]) -> Any:
            first, second = _number(left(scope), sign), _number(right(scope), sign)
            try:
                return _bounded(work(first, second))
            except ZeroDivisionError:
                raise Wrong("A number cannot be divided by 0.") from None

        return reckon

    def _joined(self, node: Any, depth: int) -> Evaluator:
        parts = [self.compile(part, depth) for part in node.nodes]

        def join(scope: Mapping[str, Any]) -> str:
            texts = [as_text(part(scope)) for part in parts]
            if sum(map(len, texts)) > LARGEST:
                raise too_large()
            return "".join(texts)

        return join

    def _choice(self, node: Any, depth: int) -> Evaluator:
        test, then = self.compile(node.test, depth), self.compile(node.expr1, depth)
        otherwise = self.compile(node.expr2, depth) if node.expr2 else lambda scope: None
        return lambda scope: then(scope) if test(scope) else otherwise(scope)

    def _comparison(self, node: Any, depth: int) -> Evaluator:
        first = self.compile(node.expr, depth)
        rest = [(_COMPARISONS[each.op], self.compile(each.expr, depth)) for each in node.ops]

        def compare(scope: Mapping[str, Any]) -> bool:
            left = first(scope)
            for holds, other in rest:
                right = other(scope)
                try:
                    if not holds(left, right):
                        return False
                except (TypeError, RecursionError):
                    raise Wrong(f"{kind_of(left).capitalize()} and {kind_of(right)} cannot be compared so.") from None
                left = right
            return True

        return compare

    def _filter(self, node: Any, depth: int) -> Evaluator:
        work, inner, arguments = self._applied("filter", node, FILTERS, depth)
        if node.name != "default":
            return lambda scope: work(inner(scope), *[argument(scope) for argument in arguments])

        def or_default(scope: Mapping[str, Any]) -> Any:
            try:
                value = inner(scope)
            except Missing:
                value = None
            return work(value, *[argument(scope) for argument in arguments])

        return or_default

    def _test(self, node: Any, depth: int) -> Evaluator:
        work, inner, arguments = self._applied("test", node, TESTS, depth)
        if node.name != "defined":
            return lambda scope: work(inner(scope), *[argument(scope) for argument in arguments])

        def defined(scope: Mapping[str, Any]) -> bool:
            try:
                return bool(work(inner(scope)))
            except Missing:
                return False

        return defined

    def _applied(
        self, what: str, node: Any, known: Mapping[str, Callable[..., Any]], depth: int
    ) -> tuple[Callable[..., Any], Evaluator, list[Evaluator]]:
        """A filter or test, what it is applied to, and its arguments."""
        work = known.get(node.name)
        if work is None:
            near = get_close_matches(node.name, known, 1)
            hint = f"Did you mean `{near[0]}`?" if near else f"There are: {', '.join(known)}."
            raise Wrong(f"There is no {what} `{node.name[:40]}`.", hint)
        if node.kwargs or node.dyn_args or node.dyn_kwargs:
            raise Wrong(f"The arguments of `{node.name}` are given without names.")
        parameters = list(inspect.signature(work).parameters.values())[1:]
        needed = sum(parameter.default is parameter.empty for parameter in parameters)
        if not needed <= len(node.args) <= len(parameters):
            usage = f"{node.name}({', '.join(parameter.name for parameter in parameters)})" if parameters else node.name
            raise Wrong(f"`{node.name}` got {len(node.args)} arguments.", f"Write `{usage}`.")
        return work, self.compile(node.node, depth), [self.compile(argument, depth) for argument in node.args]

    _KINDS: ClassVar[dict[type[nodes.Node], Callable[[_Compiler, Any, int], Evaluator]]] = {
        nodes.Name: _name,
        nodes.Getattr: _name,
        nodes.Getitem: _name,
        nodes.Const: _constant,
        nodes.List: _list,
        nodes.Tuple: _list,
        nodes.Dict: _dict,
        nodes.And: _both,
        nodes.Or: _both,
        nodes.Not: _not,
        nodes.Neg: _signed,
        nodes.Pos: _signed,
        nodes.Add: _sum,
        nodes.Sub: _arithmetic,
        nodes.Mul: _arithmetic,
        nodes.Div: _arithmetic,
        nodes.FloorDiv: _arithmetic,
        nodes.Mod: _arithmetic,
        nodes.Concat: _joined,
        nodes.CondExpr: _choice,
        nodes.Compare: _comparison,
        nodes.Filter: _filter,
        nodes.Test: _test,
    }


def _static_path(node: nodes.Node) -> tuple[str, ...] | None:
    """The names of ``a.b["c"]``, or None where an index is no text."""
    names: list[str] = []
    while not isinstance(node, nodes.Name):
        if isinstance(node, nodes.Getattr):
            names.append(node.attr)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            names.append(clean_text(node.arg.value))
        else:
            return None
        node = node.node
    return (node.name, *reversed(names))


def _number(value: Any, sign: str) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _bounded(value)
    hint = "`| int` or `| float` makes a number of a text." if isinstance(value, str) else None
    raise Wrong(f"`{sign}` needs numbers, got {kind_of(value)}.", hint)


def _bounded(number: Any) -> Any:
    if isinstance(number, int) and number.bit_length() > _MOST_BITS:
        raise Wrong("The number is too large.")
    if isinstance(number, float) and not math.isfinite(number):
        raise Wrong("The result is not a number.")
    return number


def _added(left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        if len(left) + len(right) > LARGEST:
            raise too_large()
        return left + right
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        if len(left) + len(right) > _MOST_ITEMS:
            raise Wrong(f"The list is longer than {_MOST_ITEMS:,} items.")
        return [*left, *right]
    if isinstance(left, str) or isinstance(right, str):
        raise Wrong(f"{kind_of(left).capitalize()} and {kind_of(right)} cannot be added.", "`a ~ b` joins as texts.")
    return _bounded(_number(left, "+") + _number(right, "+"))


def _contained(item: Any, container: Any) -> bool:
    if isinstance(container, str) and not isinstance(item, str):
        raise TypeError
    if not isinstance(container, (str, list, tuple, Mapping)):
        raise TypeError
    return item in container


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
    "in": _contained,
    "notin": lambda item, container: not _contained(item, container),
}
_ARITHMETIC: dict[type[nodes.Node], Callable[[Any, Any], Any]] = {
    nodes.Sub: operator.sub,
    nodes.Mul: operator.mul,
    nodes.Div: operator.truediv,
    nodes.FloorDiv: operator.floordiv,
    nodes.Mod: operator.mod,
}
_REFUSED: dict[type[nodes.Node], tuple[str, str | None]] = {
    nodes.Call: ("Nothing can be called in an expression.", f"Filters do work: {', '.join(FILTERS)}."),
    nodes.Pow: ("Expressions have no powers (`**`).", "Multiply instead."),
}
