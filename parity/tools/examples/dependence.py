"""Determines which parts of an example depend on a checkpoint's weights, from its code, before it runs.

The rule: every value loaded from a hub id depends on that checkpoint, and so does everything computed from it. Types
and dtypes do not depend on it; shapes, lengths and configs do only by their numbers, since a stand-in has other widths.
The length of a generated text depends on the weights, and therefore so does its shape.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from parity.tools.examples.blocks import parse
from parity.tools.examples.model import Block

LOADERS = {
    "from_pretrained",
    "from_encoder_decoder_pretrained",
    "pipeline",
    "load_dataset",
    "hf_hub_download",
    "snapshot_download",
}
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
FREE_ATTRIBUTES = {"dtype", "ndim", "device", "__class__"}
FREE_CALLS = {"type", "isinstance", "hasattr", "callable", "issubclass"}
OWN_LENGTH = {"generate", "greedy_search", "beam_search", "sample", "batch_decode", "decode"}
"""Calls whose results have a length that depends on the weights."""


Ids = frozenset[str]


@dataclass(frozen=True)
class Needs:
    """The checkpoints and data sets that a value depends on."""

    values: Ids = frozenset()
    shapes: Ids = frozenset()
    """Those whose weights determine its shape."""
    widths: Ids = frozenset()
    """Those whose widths determine it, or its shape."""

    def __or__(self, other: Needs) -> Needs:
        return Needs(self.values | other.values, self.shapes | other.shapes, self.widths | other.widths)

    def __and__(self, ids: Ids) -> Needs:
        return Needs(self.values & ids, self.shapes & ids, self.widths & ids)

    @property
    def of_shape(self) -> Needs:
        """The dependencies that remain if only the value's shape is used."""
        return Needs(self.shapes, self.shapes, self.values | self.widths)


NOTHING = Needs()


@dataclass
class Reader:
    """Reads statements in order and records what each name depends on."""

    names: dict[str, Needs] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    """Names bound to a string, which may be an id."""
    ids: dict[str, None] = field(default_factory=dict)
    """Every id that has been loaded so far, in order."""

    def read(self, code: str) -> Needs:
        """The dependencies of the value that a statement shows or asserts; records its assignments for later
        statements."""
        found = NOTHING
        try:
            for node in parse(code).body:
                found |= self._statement(node)
        except (SyntaxError, RecursionError):  # code that cannot be analysed may depend on all of them
            return Needs(frozenset(self.ids), frozenset(self.ids), frozenset(self.ids))
        return found

    def _statement(self, node: ast.stmt) -> Needs:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and node.value is not None:
            needs = self._of(node.value)
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                self._bind(target, node.value, needs)
            return needs
        if isinstance(node, ast.Assert):
            return self._of(node.test)
        if isinstance(node, ast.For):
            self._bind(node.target, node.iter, self._of(node.iter))
        if isinstance(node, ast.With | ast.For | ast.If | ast.While | ast.Try):
            heads = [item.context_expr for item in node.items] if isinstance(node, ast.With) else []
            heads += [node.test] if isinstance(node, ast.If | ast.While) else []
            found = NOTHING
            for part in heads:
                found |= self._of(part)
            for child in node.body:
                found |= self._statement(child)
            return found
        found = NOTHING
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                found |= self._of(child)
        return found

    def _bind(self, target: ast.expr, value: ast.expr, needs: Needs) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            values = value.elts if isinstance(value, ast.Tuple | ast.List) else []
            if len(values) == len(target.elts):
                for each, part in zip(target.elts, values, strict=True):
                    self._bind(each, part, self._of(part))
                return
            for each in target.elts:
                self._bind(each, value, needs)
        elif isinstance(target, ast.Name):
            self.names[target.id] = needs
            self.texts.pop(target.id, None)
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                self.texts[target.id] = value.value

    def _of(self, node: ast.AST) -> Needs:
        if isinstance(node, ast.Name):
            return self.names.get(node.id, NOTHING)
        if isinstance(node, ast.Attribute):
            needs = self._of(node.value)
            if node.attr in FREE_ATTRIBUTES:
                return NOTHING
            if node.attr == "config":
                return Needs(widths=needs.values | needs.widths)
            return needs.of_shape if node.attr in ("shape", "size") else needs
        if isinstance(node, ast.Call):
            return self._of_call(node)
        found = NOTHING
        for child in ast.iter_child_nodes(node):
            found |= self._of(child)
        return found

    def _of_call(self, node: ast.Call) -> Needs:
        name = called(node)
        found = NOTHING if isinstance(node.func, ast.Name) else self._of(node.func)
        if isinstance(node.func, ast.Name):
            found |= self.names.get(node.func.id, NOTHING)
        for each in (*node.args, *(keyword.value for keyword in node.keywords)):
            found |= self._of(each)
        if name in LOADERS:
            ids = frozenset(self._ids(node))
            self.ids |= dict.fromkeys(self._ids(node))
            return found | Needs(ids)
        if name in FREE_CALLS:
            return NOTHING
        if name == "len":
            return found.of_shape
        return replace(found, shapes=found.values) if name in OWN_LENGTH else found

    def _ids(self, node: ast.Call) -> Iterator[str]:
        """Ids among the arguments: of a pipeline the model, of a composition both, of any other call the first."""
        name = called(node)
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        count = {"from_encoder_decoder_pretrained": 2, "pipeline": 0}.get(name, 1)
        chosen = [*node.args[:count], *(value for key, value in named.items() if _names_a_repository(key))]
        for each in chosen:
            text = each.value if isinstance(each, ast.Constant) else self.texts.get(getattr(each, "id", ""))
            if isinstance(text, str) and HUB_ID.fullmatch(text):
                yield text


def _names_a_repository(key: str | None) -> bool:
    return key in ("model", "tokenizer", "repo_id", "path") or bool(
        key and key.endswith("pretrained_model_name_or_path")
    )


def called(node: ast.Call) -> str:
    """The last component of the called name: ``from_pretrained``."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def ids_of(block: Block) -> tuple[str, ...]:
    """Every hub id that an example loads, in order."""
    return read_all([each.code for each in block.statements])[1]


def read_all(codes: Sequence[str]) -> tuple[list[Needs], tuple[str, ...]]:
    """The dependencies of each statement, and every hub id that the example loads, in order.

    A folder that the example itself saved (``save_pretrained("bert2bert")``) is not a hub id.
    """
    reader, saved = Reader(), set()
    needs = []
    for code in codes:
        needs.append(reader.read(code))
        saved |= set(re.findall(r"""save_pretrained\(\s*["']([^"']+)["']""", code))
    return needs, tuple(name for name in reader.ids if name not in saved)
