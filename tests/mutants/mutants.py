"""
What can be wrong in a file: one operator, number, word or statement of it.

Most comes from the operators of cosmic-ray; one of each kind, since C{a < b} for C{a > b} is noticed wherever
C{a <= b} is.  It has none that leaves a statement out, which is what code that answers events is most often wrong in.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from attrs import frozen
from cosmic_ray.ast import Visitor, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

from .explained import plain

__all__ = ["Mutant", "mutants"]

OPERATORS = """
AddNot Delete_Not Delete_USub NumberReplacer
ReplaceTrueWithFalse ReplaceFalseWithTrue ReplaceAndWithOr ReplaceOrWithAnd
ReplaceBreakWithContinue ReplaceContinueWithBreak ZeroIterationForLoop ExceptionReplacer
Lt_LtE LtE_Lt Gt_GtE GtE_Gt Eq_NotEq NotEq_Eq Is_IsNot IsNot_Is
Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Mul Mod_Mul RShift_LShift LShift_RShift BitOr_BitAnd BitAnd_BitOr
"""
FAMILIES = ("", "ReplaceUnaryOperator_", "ReplaceComparisonOperator_", "ReplaceBinaryOperator_")

Place = tuple[int, int]


@frozen(order=True)
class Mutant:
    """
    A file with one fault.

    @ivar line: its number, from 1; C{was} and C{now}: what stands there.
    @ivar code: the whole file.
    """

    line: int
    was: str
    now: str
    code: str

    @property
    def change(self) -> str:
        """Without the number, so that it is the same wherever the line has moved to."""
        return f"{self.was} → {self.now}"


def mutants(path: Path) -> list[Mutant]:
    """All of a file, in the order of its lines, each once."""
    source = path.read_text()
    tree = ast.parse(source)
    silent = list(_silent(tree))
    found: dict[str, Mutant] = {}
    for place, code in [*_operators(source), *_without(source, tree), *_other_way(source, tree)]:
        if not any(begin <= place < end for begin, end in silent):
            mutated = ast.parse(code)
            # The star in a signature was taken for a product.
            if not any(isinstance(node, ast.arguments) and node.posonlyargs for node in ast.walk(mutated)):
                found.setdefault(ast.dump(Straight().visit(mutated)), _mutant(source, code))
    return sorted(found.values())


class Straight(ast.NodeTransformer):
    """C{not a is b} is C{a is not b}, so that each fault counts once."""

    OPPOSITE: ClassVar[dict[type[ast.cmpop], type[ast.cmpop]]] = {
        ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
        ast.In: ast.NotIn, ast.NotIn: ast.In,
    }  # fmt: skip

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        inner = self.visit(node.operand)
        if isinstance(node.op, ast.Not):
            if isinstance(inner, ast.UnaryOp) and isinstance(inner.op, ast.Not):
                return inner.operand
            if isinstance(inner, ast.Compare) and len(inner.ops) == 1 and type(inner.ops[0]) in self.OPPOSITE:
                return ast.Compare(inner.left, [self.OPPOSITE[type(inner.ops[0])]()], inner.comparators)
        return ast.UnaryOp(node.op, inner)


def _mutant(source: str, code: str) -> Mutant:
    old, new = source.splitlines(), code.splitlines()
    first = next(number for number, (was, now) in enumerate(zip(old, new, strict=False)) if was != now)
    last = next(number for number, (was, now) in enumerate(zip(old[::-1], new[::-1], strict=False)) if was != now)
    was, now = (" ".join(plain(line) for line in lines[first : max(first + 1, len(lines) - last)])
                for lines in (old, new))  # fmt: skip
    return Mutant(first + 1, was, now, code)


def _operators(source: str) -> Iterator[tuple[Place, str]]:
    for name in OPERATORS.split():
        operator = _operator(name)
        places: list[Place] = []

        class Finder(Visitor):  # type: ignore[misc]
            def visit(self, node: Any) -> Any:
                places.extend(begin for begin, _ in operator.mutation_positions(node))  # noqa: B023
                return node

        Finder().walk(get_ast(source))
        for number, place in enumerate(places):
            yield place, mutate_code(source, operator, number)


def _operator(name: str) -> Any:
    known = set(operator_names())
    return get_operator(next(full for family in FAMILIES if (full := f"core/{family}{name}") in known))()


def _without(source: str, tree: ast.Module) -> Iterator[tuple[Place, str]]:
    """Without a statement of a function: a call, an assignment, an early end."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                    continue
                whole = isinstance(node, ast.Expr | ast.Assign | ast.AugAssign | ast.Delete | ast.Raise)
                if whole or (isinstance(node, ast.Return) and node.value is None):
                    yield _at(node), _replaced(source, node, "pass")


def _other_way(source: str, tree: ast.Module) -> Iterator[tuple[Place, str]]:
    """C{-=} for C{+=}, and the other way round."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AugAssign):
            text = ast.get_source_segment(source, node) or ""
            if isinstance(node.op, ast.Add):
                yield _at(node), _replaced(source, node, text.replace("+=", "-=", 1))
            elif isinstance(node.op, ast.Sub):
                yield _at(node), _replaced(source, node, text.replace("-=", "+=", 1))


def _replaced(source: str, node: Any, text: str) -> str:
    lines = source.splitlines(keepends=True)
    first, last = lines[node.lineno - 1].encode(), lines[node.end_lineno - 1].encode()
    whole = first[: node.col_offset].decode() + text + last[node.end_col_offset :].decode()
    return "".join([*lines[: node.lineno - 1], whole, *lines[node.end_lineno :]])


def _at(node: Any) -> Place:
    return node.lineno, node.col_offset


def _silent(tree: ast.Module) -> Iterator[tuple[Place, Place]]:
    """
    What no test has to notice: annotations, what is only said, what is so for the type checker, and figures that were
    chosen, of which a test could only say the same again.
    """
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and not any(
            isinstance(node, ast.Name | ast.Call) for node in ast.walk(statement.value or statement)
        ):
            yield _at(statement), (statement.end_lineno or 0, statement.end_col_offset or 0)
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign | ast.arg):
            found: Any = node.annotation
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found = node.returns
        else:
            found = node if isinstance(node, ast.JoinedStr | ast.Assert) or _is_said(node) else None
        if found is not None:
            yield _at(found), (found.end_lineno, found.end_col_offset)


def _is_said(node: ast.AST) -> bool:
    """To the log, or to the type checker: a name for a type."""
    if isinstance(node, ast.Assign):
        return ast.unparse(node.value).startswith(("Callable[", "tuple[", "TypeVar("))
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith("log.")
