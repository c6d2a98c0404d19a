"""Mutations of a library's own source: one node of the syntax tree of one function is changed.

The functions keep their identity: only their code is replaced, so that classes, decorators and other modules that hold
them see the change, and the module is not imported again. Statements outside functions, decorators, defaults and
annotations are not mutated. Nor are docstrings, messages, and calls of loggers.

No framework is imported here except the module that is mutated.
"""

from __future__ import annotations

import ast
import copy
import functools
import importlib
import importlib.util
import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NOT_NUMERIC = ("logger", "warnings", "logging")
"""Objects whose calls are not mutated: they write messages."""
SIBLINGS = ("self", "config")
"""Objects of which another attribute is read: ``self.k_proj`` for ``self.q_proj``."""

_COMPARED: dict[type[ast.cmpop], tuple[tuple[str, type[ast.cmpop]], ...]] = {
    ast.Lt: (("boundary", ast.LtE), ("comparison", ast.GtE)),
    ast.LtE: (("boundary", ast.Lt), ("comparison", ast.Gt)),
    ast.Gt: (("boundary", ast.GtE), ("comparison", ast.LtE)),
    ast.GtE: (("boundary", ast.Gt), ("comparison", ast.Lt)),
    ast.Eq: (("comparison", ast.NotEq),),
    ast.NotEq: (("comparison", ast.Eq),),
    ast.Is: (("comparison", ast.IsNot),),
    ast.IsNot: (("comparison", ast.Is),),
    ast.In: (("comparison", ast.NotIn),),
    ast.NotIn: (("comparison", ast.In),),
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
}


@dataclass(frozen=True)
class Mutation:
    """One change of one node.

    Attributes:
        module: the module's name.
        number: its index among the mutations of that file.
        operator: what kind of change it is: ``boundary``, ``comparison``, ``arithmetic``, ``constant``, ``negated
            condition``, ``and/or``, ``removed sign``, ``removed call``, ``swapped arguments``, ``dropped keyword`` or
            ``other attribute``.
        function: the qualified name of the outermost function.
        line: the line of the node.
        before, after: the node's source.
    """

    module: str
    number: int
    operator: str
    function: str
    line: int
    before: str
    after: str

    @property
    def name(self) -> str:
        return f"{self.module}-{self.number}"

    @property
    def text(self) -> str:
        """In one line, for a report."""
        return f"{self.module}:{self.line} {self.function}: {self.operator}: {self.before} → {self.after}"


@dataclass(frozen=True)
class _Site:
    """A node that can be replaced in its tree."""

    function: str
    operator: str
    node: ast.AST
    new: ast.AST
    shown: tuple[ast.AST, ast.AST | None]
    """What a report shows of both: of a statement its condition, of a call its lost keyword."""
    put: Callable[[ast.AST], None]

    @property
    def line(self) -> int:
        return getattr(self.node, "lineno", 0)


def mutations(module: str) -> list[Mutation]:
    """Every mutation of a module's functions, in a fixed order.

    >>> found = mutations("textwrap")
    >>> found[0].operator in ("constant", "arithmetic", "comparison", "removed call", "other attribute")
    True

    Raises:
        ImportError: there is no such module.
    """
    tree = ast.parse(source_file(module).read_text(encoding="utf-8"))
    return [
        Mutation(module, number, site.operator, site.function, site.line, *map(_text, site.shown))
        for number, site in enumerate(_sites(tree))
    ]


def apply(name: str) -> Callable[[], None]:
    """Applies a mutation to the imported module. Returns a function that undoes it.

    Raises:
        LookupError: the module has no such mutation, or its function is not found in the module.
    """
    module, number = module_of(name), int(name.rpartition("-")[2])
    imported = importlib.import_module(module)
    path = source_file(module)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    site = next((site for index, site in enumerate(_sites(tree)) if index == number), None)
    if site is None:
        raise LookupError(f"{path}: has no mutation {number}")
    site.put(ast.copy_location(site.new, site.node))
    ast.fix_missing_locations(tree)
    code = compile(tree, str(path), "exec", dont_inherit=True)
    changed = {(each.co_qualname, each.co_firstlineno): each for each in _codes(code)}
    undo = []
    for function in _functions(imported):
        old = function.__code__
        new = changed.get((old.co_qualname, old.co_firstlineno))
        if old.co_qualname == site.function and new is not None and old.co_freevars == new.co_freevars:
            undo.append((function, old))
            function.__code__ = new
    if not undo:
        raise LookupError(f"{module}: the function {site.function} is not found in the imported module")

    def restore() -> None:
        for function, old in undo:
            function.__code__ = old

    return restore


def module_of(name: str) -> str:
    """The module of a mutation with this name."""
    return name.rpartition("-")[0]


def source_file(module: str) -> Path:
    """The module's file, without importing it."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ImportError(f"{module}: no such module")
    return Path(spec.origin)


def _text(node: ast.AST | None) -> str:
    if node is None:
        return "nothing"
    text = " ".join(ast.unparse(ast.fix_missing_locations(node)).split())
    return text if len(text) <= 100 else f"{text[:97]}…"


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield each
            yield from _codes(each)


def _functions(module: types.ModuleType) -> Iterator[types.FunctionType]:
    """The functions that a module defines: its own and those of its classes, also inside decorators."""
    left: list[Any] = [each for each in vars(module).values() if _is_of(module, each)]
    seen: set[int] = set()
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, types.FunctionType):
            if each.__code__.co_filename == module.__file__:
                yield each
            left += [cell.cell_contents for cell in each.__closure__ or () if _is_filled(cell)]
            left.append(getattr(each, "__wrapped__", None))
        elif isinstance(each, type) and each.__module__ == module.__name__:
            left += vars(each).values()
        elif isinstance(each, property):
            left += [each.fget, each.fset, each.fdel]
        elif isinstance(each, classmethod | staticmethod | functools.partial | functools.cached_property):
            left.append(getattr(each, "__func__", None) or each.func)  # pyright: ignore[reportAttributeAccessIssue]


def _is_of(module: types.ModuleType, value: Any) -> bool:
    return getattr(inspect.unwrap(value) if callable(value) else value, "__module__", "") == module.__name__


def _is_filled(cell: types.CellType) -> bool:
    try:
        return callable(cell.cell_contents)
    except ValueError:
        return False


def _sites(tree: ast.Module) -> Iterator[_Site]:
    for name, function in _definitions(tree.body, ""):
        attributes = _other_attributes(function)
        for node, put in _nodes(function):
            for operator, new, *shown in _replacements(node, attributes):
                # Without a call of super a method has another closure, and its code cannot be exchanged.
                if _calls_super(new) or not _calls_super(node):
                    yield _Site(name, operator, node, new, tuple(shown) or (node, new), put)


def _calls_super(node: ast.AST) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "super" for each in ast.walk(node))


def _definitions(body: Iterable[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """The outermost functions, by qualified name; functions inside them belong to them."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef):
            yield prefix + statement.name, statement
        elif isinstance(statement, ast.ClassDef):
            yield from _definitions(statement.body, f"{prefix}{statement.name}.")
        elif isinstance(statement, ast.If | ast.Try):
            yield from _definitions([*statement.body, *statement.orelse], prefix)


def _nodes(parent: ast.AST) -> Iterator[tuple[ast.AST, Callable[[ast.AST], None]]]:
    """Every node below another that may be replaced, each with a function that does; outer nodes first."""
    for node, put in _children(parent):
        if not _is_message(node):
            yield node, put
            yield from _nodes(node)


def _children(parent: ast.AST) -> Iterator[tuple[ast.AST, Callable[[ast.AST], None]]]:
    """The nodes directly below another, without annotations, decorators and parameters."""
    left_out = ("annotation", "returns", "decorator_list", "type_params", "ctx")
    if isinstance(parent, ast.FunctionDef | ast.Lambda):
        left_out += ("args",)
    for field, value in ast.iter_fields(parent):
        if field in left_out:
            continue
        if isinstance(value, ast.AST):
            yield value, functools.partial(setattr, parent, field)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, ast.AST):
                    yield item, functools.partial(value.__setitem__, index)


def _is_message(node: ast.AST) -> bool:
    """Docstrings, f-strings, raised exceptions, assertions, and calls of loggers."""
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr):
        return True
    if not isinstance(node, ast.Expr):
        return False
    if isinstance(node.value, ast.Constant):
        return True
    called = node.value.func if isinstance(node.value, ast.Call) else None
    while isinstance(called, ast.Attribute):
        called = called.value
    return isinstance(called, ast.Name) and called.id in NOT_NUMERIC


def _other_attributes(function: ast.FunctionDef) -> dict[int, str]:
    """By the id of a node that reads an attribute: the next one that the function reads of the same object, also called
    or also not; none where there is no other."""
    called = {id(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)}
    reads: dict[tuple[str, bool], list[ast.Attribute]] = {}
    for node in ast.walk(function):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Load)
            and isinstance(node.value, ast.Name)
            and node.value.id in SIBLINGS
        ):
            reads.setdefault((node.value.id, id(node) in called), []).append(node)
    found = {}
    for nodes in reads.values():
        names = list(dict.fromkeys(node.attr for node in nodes))
        following = dict(zip(names, [*names[1:], names[0]], strict=True))
        if len(names) > 1:
            found |= {id(node): following[node.attr] for node in nodes}
    return found


def _replacements(node: ast.AST, attributes: Mapping[int, str]) -> Iterator[tuple[Any, ...]]:
    """Each change of a node: its operator, the node that takes its place, and what is shown if it is not the two."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for operator, other in _COMPARED.get(type(node.ops[0]), ()):
            yield operator, ast.Compare(node.left, [other()], node.comparators)
    elif isinstance(node, ast.BinOp) and type(node.op) in _COMPUTED and not _is_text(node):
        yield "arithmetic", ast.BinOp(node.left, _COMPUTED[type(node.op)](), node.right)
    elif isinstance(node, ast.AugAssign) and type(node.op) in _COMPUTED:
        yield "arithmetic", ast.AugAssign(node.target, _COMPUTED[type(node.op)](), node.value)
    elif isinstance(node, ast.BoolOp):
        yield "and/or", ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield "removed sign", node.operand
    elif isinstance(node, ast.Constant):
        if (other := _other_constant(node.value)) is not None:
            yield "constant", ast.Constant(other)
    elif isinstance(node, ast.If | ast.IfExp):
        test = ast.UnaryOp(ast.Not(), node.test)
        negated = copy.copy(node)
        negated.test = test
        yield "negated condition", negated, node.test, test
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield "removed call", ast.Pass(), node, None
    elif isinstance(node, ast.Call):
        yield from _other_calls(node)
    elif isinstance(node, ast.Attribute) and id(node) in attributes:
        yield "other attribute", ast.Attribute(node.value, attributes[id(node)], node.ctx)


def _other_calls(node: ast.Call) -> Iterator[tuple[Any, ...]]:
    given = node.args
    if any(isinstance(each, ast.Starred) for each in given):
        given = []
    if given and not isinstance(given[0], ast.Constant):
        yield "removed call", given[0]
    if len(given) > 1 and ast.dump(given[0]) != ast.dump(given[1]):
        yield "swapped arguments", ast.Call(node.func, [given[1], given[0], *given[2:]], node.keywords)
    for index, keyword in enumerate(node.keywords):
        if keyword.arg is not None:
            rest = node.keywords[:index] + node.keywords[index + 1 :]
            yield "dropped keyword", ast.Call(node.func, node.args, rest), keyword, None


def _is_text(node: ast.BinOp) -> bool:
    """Whether it joins or formats text."""
    sides = (node.left, node.right)
    return any(isinstance(each, ast.JoinedStr) or _is_string(each) for each in sides)


def _is_string(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _other_constant(value: Any) -> Any:
    """Another value of the same type; None for texts and None itself, which have no neighbour."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 1.5 if value else 1.0
    return None
