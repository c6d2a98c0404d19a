"""Selection by an expression of words, as pytest's ``-k`` has it: ``numbers and not hf-tf``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from parity.core.backends import find_entry
from parity.core.case import Case
from parity.core.errors import InputError
from parity.core.records import SubjectRecord
from parity.judge.checks import Check

Matches = Callable[[str], bool]
"""Whether a word is part of one of the names of a cell."""
_Node = Callable[[Matches], bool]
_TOKEN = re.compile(r"[()]|[^\s()]+")
DEEPEST = 50
"""Nested ``not`` and parentheses that an expression may have."""


class KeywordError(InputError):
    """An expression that cannot be read; the message has it and what is wrong."""


@dataclass(frozen=True)
class Keywords:
    """An expression: words, ``and``, ``or``, ``not`` and parentheses; ``not`` binds tightest, ``or`` least.

    A word matches a cell where it is part of the check's id, group or claim, of the case's name, or of the backend's
    label (``hf-torch/sdpa@docs-4.37``), whatever its case.

    Raises:
        KeywordError: the text is no expression.

    >>> Keywords("num and not gradients").holds(["NUM01", "numbers"])
    True
    """

    text: str
    _root: _Node = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_root", _Parser(self.text).parse())

    def holds(self, names: Iterable[str]) -> bool:
        """Whether the expression holds of these names, of which a word may be a part."""
        lower = [name.lower() for name in names]
        return self._root(lambda word: any(word in name for name in lower))

    def takes(self, check: Check, case: Case, subject: SubjectRecord) -> bool:
        """Whether the expression holds of a cell."""
        return self.holds([*_names(check), case.name, subject.backend, subject.label])

    def narrow(
        self, checks: Sequence[Check], backends: Sequence[str], stacks: Sequence[str]
    ) -> tuple[list[str], list[str]]:
        """The ids of the checks, and the backends, of which a cell may be taken.

        Of a check's cases the names are those that ``parity explain`` shows: what ``*`` stands for is not known yet.

        Args:
            checks: those to choose from.
            backends: names, or ``name/variant``.
            stacks: names of stacks.

        Raises:
            KeywordError: it holds of none.
        """
        labels = {name: [f"{each}@{stack}" for each in _variants(name) for stack in stacks] for name in backends}
        taken = [
            (check.id, name)
            for check in checks
            for name, several in labels.items()
            if any(self._may_take(check, label) for label in several)
        ]
        if not taken:
            raise KeywordError(f"-k {self.text}: no check, case or backend matches; parity explain lists the checks")
        ids, names = {check for check, _ in taken}, {name for _, name in taken}
        return [check.id for check in checks if check.id in ids], [name for name in backends if name in names]

    def _may_take(self, check: Check, label: str) -> bool:
        return any(self.holds([*_names(check), case, label]) for case in check.cases)


def _names(check: Check) -> list[str]:
    return [check.id, check.group, check.claim, *(["file"] if check.role == "file" else [])]


def _variants(name: str) -> list[str]:
    """``hf-torch/eager`` and its others, where no variant is named."""
    if "/" in name:
        return [name]
    try:
        return [f"{name}/{variant}" for variant in find_entry(name).variants]
    except KeyError:  # said where backends are looked for
        return [name]


class _Parser:
    """Recursive descent over the words of an expression."""

    def __init__(self, text: str) -> None:
        self.text, self.tokens, self.depth = text, _TOKEN.findall(text), 0

    def parse(self) -> _Node:
        node = self._or()
        if self.tokens:
            raise self._wrong(f"{self.tokens[0]!r} is not expected there")
        return node

    def _or(self) -> _Node:
        nodes = [self._and()]
        while self._next("or"):
            nodes.append(self._and())
        return lambda matches: any(node(matches) for node in nodes)

    def _and(self) -> _Node:
        nodes = [self._not()]
        while self._next("and"):
            nodes.append(self._not())
        return lambda matches: all(node(matches) for node in nodes)

    def _not(self) -> _Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self._wrong("nested too deeply")
        try:
            if self._next("not"):
                node = self._not()
                return lambda matches: not node(matches)
            if self._next("("):
                node = self._or()
                if not self._next(")"):
                    raise self._wrong("a closing parenthesis is missing")
                return node
            if not self.tokens or self.tokens[0] in ("and", "or", ")"):
                raise self._wrong("a word is missing")
            word = self.tokens.pop(0).lower()
            return lambda matches: matches(word)
        finally:
            self.depth -= 1

    def _next(self, token: str) -> bool:
        if self.tokens and self.tokens[0] == token:
            del self.tokens[0]
            return True
        return False

    def _wrong(self, why: str) -> KeywordError:
        return KeywordError(f"-k {self.text}: {why}; an expression is words with and, or, not and parentheses")
