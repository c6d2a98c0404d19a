"""``tokenizer.json``: the format of the library's fast tokenizers, and since 5.0 the only one it writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reference.config import read_json
from reference.errors import CheckpointError, brief
from reference.tokenizer.vocabulary import MERGES_FILE, VOCABULARY_FILE, check_id

SERIALISED_FILE = "tokenizer.json"
FLAGS = ("single_word", "lstrip", "rstrip", "special")


@dataclass(frozen=True)
class Serialised:
    """The content of the file (tokenizers 0.22.2, ``Tokenizer.to_str``)."""

    kind: str
    """The kind of the model: ``BPE``, ``WordPiece``, ``Unigram`` or ``WordLevel``."""
    vocabulary: dict[str, int]
    """The tokens of the model."""
    added: dict[str, int]
    """The added tokens, matched before a text is split."""
    merges: tuple[str, ...]
    """The merges of a BPE model, as pairs in the format and order of ``merges.txt``."""
    flags: dict[str, dict[str, bool]]
    """The id of each added token."""
    data: Mapping[str, Any]
    """The parsed content of the file."""

    @property
    def ids(self) -> dict[str, int]:
        """Ids of the vocabulary and of the added tokens."""
        return {**self.vocabulary, **self.added}

    @property
    def paired(self) -> bool:
        """Whether merges are stored as lists of two, which tokenizers before 0.20 cannot read."""
        merges = self.data["model"].get("merges")
        return isinstance(merges, list) and any(isinstance(merge, list) for merge in merges[:1])

    @property
    def not_byte_level(self) -> str:
        """The reason why it is not a byte-level BPE equivalent to ``vocab.json`` and ``merges.txt``; "" if it is."""
        if self.kind != "BPE":
            return f"its model is a {self.kind}"
        model, cut = self.data["model"], list(_parts(self.data.get("pre_tokenizer"), "pretokenizers"))
        if self.data.get("normalizer") is not None:
            return "it normalises texts"
        if [part.get("type") for part in cut] != ["ByteLevel"] or not cut[0].get("use_regex", True):
            return "its pre-tokenizer is not just ByteLevel"
        other = [name for name in ("dropout", "byte_fallback", "ignore_merges", "fuse_unk") if model.get(name)]
        other += [name for name in ("continuing_subword_prefix", "end_of_word_suffix") if model.get(name)]
        return f"its model sets {other[0]}" if other else ""

    @property
    def frame(self) -> list[tuple[str, int]]:
        """Tokens that its post-processor adds around a text, with their ids in the post-processor."""
        return list(_framing(self.data.get("post_processor")))

    def added_tokens_decoder(self) -> dict[str, dict[str, Any]]:
        """Its added tokens in the format of ``tokenizer_config.json`` of transformers 4.34 to 4.57."""
        return {str(number): {"content": text, **self.flags[text]} for text, number in self.added.items()}


def is_alone(directory: Path | str) -> bool:
    """Whether a byte-level tokenizer must be read from it because ``vocab.json`` or ``merges.txt`` is missing."""
    folder = Path(directory)
    both = all((folder / name).exists() for name in (VOCABULARY_FILE, MERGES_FILE))
    return not both and (folder / SERIALISED_FILE).exists()


def read_serialised(directory: Path | str) -> Serialised | None:
    """Reads the file; None if there is none.

    Raises:
        CheckpointError: it is not JSON, has no vocabulary, is a BPE without merges, or an id is not an integer.
    """
    file = Path(directory) / SERIALISED_FILE
    if not file.exists():
        return None
    data = read_json(directory, SERIALISED_FILE)
    try:
        model = data["model"]
        # Releases of the library before 0.9 did not write the kind.
        named = model.get("type")
        kind = named[:40] if isinstance(named, str) else "BPE" if "merges" in model else "model without a name"
        held = model["vocab"]
        # A Unigram model lists pieces with scores, in the order of ids.
        vocabulary = {piece[0]: file for file, piece in enumerate(held)} if isinstance(held, list) else dict(held)
        tokens: list[Any] = list(data.get("added_tokens") or ())
        added = {token["content"]: token["id"] for token in tokens}
        flags = {token["content"]: {flag: bool(token.get(flag)) for flag in FLAGS} for token in tokens}
        # Older releases of the library write a pair as one string, later ones as a list of two.
        pairs = model["merges"] if kind == "BPE" else ()
        merges = tuple(pair if isinstance(pair, str) else " ".join(pair) for pair in pairs)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise CheckpointError(file, "has no vocabulary with merges") from error
    found = Serialised(kind, vocabulary, added, merges, flags, data)
    for token, number in (*vocabulary.items(), *added.items()):
        if not isinstance(token, str):
            raise CheckpointError(file, "has a token that is not a string")
        check_id(token, number, file)
    return found


def ranks_of(serialised: Serialised, location: Path | str) -> dict[tuple[str, str], int]:
    """The rank of each merge, 0 for the first, as in ``read_merges``.

    Raises:
        CheckpointError: a merge does not have two tokens, repeats an earlier one, or has a token without an id.
    """
    ranks: dict[tuple[str, str], int] = {}
    for number, merge in enumerate(serialised.merges):
        words = merge.split(" ")
        if len(words) != 2 or not all(words):
            raise CheckpointError(location, f"merge {number} is not of two tokens: {brief(merge)}")
        pair = (words[0], words[1])
        if pair in ranks:
            raise CheckpointError(location, f"merge {number} repeats an earlier one: {brief(merge)}")
        unknown = next((token for token in (*pair, "".join(pair)) if token not in serialised.vocabulary), None)
        if unknown is not None:
            raise CheckpointError(location, f"merge {number}, {brief(merge)}: unknown token {brief(unknown)}")
        ranks[pair] = number
    return ranks


def _parts(part: Any, of: str) -> Iterator[Mapping[str, Any]]:
    """The steps of a component: those of a ``Sequence``, or the component itself."""
    if not isinstance(part, Mapping):
        return
    inner = part.get(of)
    if part.get("type") == "Sequence" and isinstance(inner, list):
        for each in inner:
            yield from _parts(each, of)
    else:
        yield part


def _framing(processor: Any) -> Iterator[tuple[str, int]]:
    for part in _parts(processor, "processors"):
        if part.get("type") in ("RobertaProcessing", "BertProcessing"):
            pairs = [part.get("cls"), part.get("sep")]
        elif part.get("type") == "TemplateProcessing" and isinstance(part.get("special_tokens"), Mapping):
            held = [each for each in part["special_tokens"].values() if isinstance(each, Mapping)]
            pairs = [
                pair for each in held for pair in zip(each.get("tokens") or (), each.get("ids") or (), strict=False)
            ]
        else:
            continue
        for pair in pairs:
            if isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str):
                yield pair[0], pair[1]
