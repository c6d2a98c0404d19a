"""Tokenizers: text to tokens and back, as the documents have it, whatever characters the text is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from parity.core.case import Case
from parity.core.trace import Facts
from parity.judge.checks.registry import check
from parity.judge.evidence import Evidence
from parity.judge.results import Finding, Result
from reference.generation import shown

_PAGE = "BART page, BartTokenizer and BartTokenizerFast: byte-level BPE, a space before a word is part of its token"
_CALL = "tokenizer page, PreTrainedTokenizerBase.__call__"
UNLIMITED = 10**30
"""The ``model_max_length`` of a tokenizer that nobody gave one (transformers 4.57.6, tokenization_utils_base.py,
``VERY_LARGE_INTEGER``); as a number of a JSON file it is a little more."""
FAST = "dialect.fast"
"""What a finding is about where our own tokenizer gives exactly this in the dialect of the library's fast class."""


def _truth(evidence: Evidence) -> tuple[dict[str, Any], dict[str, Any], list[Finding]]:
    """The documented answer, the fast class's, and what is wrong with the files themselves."""
    trace = evidence.reference_reading
    if trace.raised is not None:
        return {}, {}, [Finding(False, f"nothing to hold this against: {trace.raised.message}", "files")]
    return trace.facts["documented"], trace.facts["fast"], []


def _held(theirs: Any, documented: Any, fast: Any, name: str, what: str) -> Finding:
    about = FAST if theirs == fast != documented else name
    return Finding(theirs == documented, f"{what} gives {_short(theirs)}; documented is {_short(documented)}", about)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 90 else f"{text[:87]}…"


def _texts(evidence: Evidence, *fields: str) -> Iterator[Result]:
    """Each of these fields of every text, with and without a space put before it."""
    documented, fast, broken = _truth(evidence)
    yield from broken
    if broken:
        return
    for prefix, rows in evidence.trace.facts["texts"].items():
        for place, (text, row) in enumerate(zip(evidence.case.settings["texts"], rows, strict=True)):
            for field in fields:
                ours, other = documented["texts"][prefix][place][field], fast["texts"][prefix][place][field]
                spaced = " with a prefix space" if prefix == "True" else ""
                yield _held(row[field], ours, other, field, f"{field} of {_short(text)}{spaced}")


@check(
    "TOK01",
    claim="every text becomes the documented tokens, framed and bare, with a prefix space and without",
    source=_PAGE,
    likely_cause="another table of Unicode, a rule for spaces at added tokens, or merges applied in another order",
    cases=("tokenize",),
    needs_oracle=False,
)
def ids_are_documented(evidence: Evidence) -> Iterator[Result]:
    """A model that was trained on other tokens reads another text."""
    yield from _texts(evidence, "ids", "bare")


@check(
    "TOK02",
    claim="the masks of a text have a 1 for each token that is special, and for each that is to be attended to",
    source=f"{_CALL}: return_special_tokens_mask, return_attention_mask",
    likely_cause="a special token written in the text is taken for one of the frame's",
    cases=("tokenize",),
    needs_oracle=False,
)
def masks_are_documented(evidence: Evidence) -> Iterator[Result]:
    """Masked-language training skips what the first mask marks."""
    yield from _texts(evidence, "special_tokens_mask", "attention_mask")


@check(
    "TOK03",
    claim="two texts become one row, framed as documented: the second behind two ends",
    source="BART page, BartTokenizer.build_inputs_with_special_tokens: <s> A </s></s> B </s>",
    likely_cause="one end between the two, or a second text that is dropped where it is empty",
    cases=("tokenize",),
    needs_oracle=False,
)
def pairs_are_framed(evidence: Evidence) -> Iterator[Result]:
    """Premise and hypothesis are told apart by nothing else."""
    documented, fast, broken = _truth(evidence)
    yield from broken
    for place, row in enumerate([] if broken else evidence.trace.facts["pairs"]):
        pair = evidence.case.settings["pairs"][place]
        for field in ("ids", "bare", "special_tokens_mask"):
            ours, other = documented["pairs"][place][field], fast["pairs"][place][field]
            yield _held(row[field], ours, other, field, f"{field} of {_short(pair)}")


@check(
    "TOK04",
    claim="tokens become the documented text again: whole, without special tokens, and cleaned up",
    source="tokenizer page, PreTrainedTokenizerBase.decode: skip_special_tokens, clean_up_tokenization_spaces",
    likely_cause="spaces put around added tokens, or a clean-up that is switched on by itself",
    cases=("tokenize",),
    needs_oracle=False,
)
def tokens_are_decoded(evidence: Evidence) -> Iterator[Result]:
    """Decoded are the tokens the class itself gave; where those differ, TOK01 says so and nothing is claimed here."""
    documented, fast, broken = _truth(evidence)
    yield from broken
    told = [] if broken else evidence.trace.facts["texts"]["False"]
    same = [place for place, row in enumerate(told) if row["ids"] == documented["texts"]["False"][place]["ids"]]
    if not (broken or same):
        yield Finding(False, "no text becomes the documented tokens (TOK01), so that none could be decoded", "ids")
    for place in same:
        text, row = evidence.case.settings["texts"][place], evidence.trace.facts["decoded"][place]
        for field, theirs in row.items():
            ours, other = documented["decoded"][place][field], fast["decoded"][place][field]
            yield _held(theirs, ours, other, field, f"{_short(text)} decoded {field}")


@check(
    "TOK05",
    claim="offsets say where in the text each token stands",
    source=f"{_CALL}: return_offsets_mapping, (char_start, char_end) for each token",
    likely_cause="a span that begins at the space before its word, or lies too far left behind a dropped byte",
    cases=("tokenize",),
    requires=("offsets",),
    needs_oracle=False,
)
def offsets_point_at_the_text(evidence: Evidence) -> Iterator[Result]:
    """An answer cut out of a context by its span loses or gains a character."""
    yield from _texts(evidence, "offsets")


@check(
    "TOK06",
    claim="rows cut and padded to a length keep their frame, cut and padded on the sides asked for",
    source=f"{_CALL}: truncation=True, padding='max_length', max_length; padding_side, truncation_side",
    likely_cause="a row cut through its frame, or a mask that attends to padding",
    cases=("tokenize",),
    needs_oracle=False,
)
def rows_are_cut_and_padded(evidence: Evidence) -> Iterator[Result]:
    """What a row must be follows from the class's own tokens of the whole text."""
    short, facts = evidence.case.settings["short"], evidence.trace.facts
    pad = facts["roles"]["pad_token"]
    for sides, rows in facts["short"].items():
        cut, side = sides.split()
        for place, row in enumerate(rows):
            kept = _cut(facts["texts"]["False"][place]["ids"], short, cut)
            padding, seen = [pad] * (short - len(kept)), [1] * len(kept)
            unseen = [0] * len(padding)
            ids, mask = (kept + padding, seen + unseen) if side == "right" else (padding + kept, unseen + seen)
            what = f"{_short(evidence.case.settings['texts'][place])} cut on the {cut} and padded on the {side}"
            yield Finding(row["ids"] == ids, f"{what} is {row['ids']}, not {ids}", "ids")
            yield Finding(
                row["attention_mask"] == mask, f"{what} has the mask {row['attention_mask']}", "attention_mask"
            )


def _cut(whole: list[int], short: int, side: str) -> list[int]:
    """A framed row without what is too much of its text, taken off at that side."""
    if len(whole) <= short:
        return whole
    text = whole[1:-1]
    kept = text[: short - 2] if side == "right" else text[len(text) - (short - 2) :]
    return [whole[0], *kept, whole[-1]]


@check(
    "TOK07",
    claim="a tokenizer saved and read again gives the same tokens",
    source="tokenizer page, save_pretrained: it can be loaded again with from_pretrained",
    likely_cause="a special token's white space, or an added token, that is lost on the way",
    cases=("tokenize",),
    needs_oracle=False,
)
def saved_tokenizers_are_the_same(evidence: Evidence) -> Iterator[Result]:
    """What was published is what was tested."""
    facts = evidence.trace.facts
    for text, before, after in zip(
        evidence.case.settings["texts"], facts["texts"]["False"], facts["saved"], strict=True
    ):
        yield Finding(
            before["ids"] == after, f"{_short(text)} gave {_short(before['ids'])}, then {_short(after)}", "ids"
        )


@check(
    "TOK08",
    claim="special tokens have the ids that the files give them, and the vocabulary has as many tokens",
    source="BART page, BartTokenizer: bos_token, eos_token, sep_token, cls_token, unk_token, pad_token, mask_token",
    likely_cause="a default that is taken although the files say otherwise, or an added token that is counted twice",
    cases=("tokenize",),
    needs_oracle=False,
)
def special_tokens_are_those_of_the_files(evidence: Evidence) -> Iterator[Result]:
    """Padding by another id is text to the model."""
    _, _, broken = _truth(evidence)
    yield from broken
    if broken:
        return
    ours, theirs = evidence.reference_reading.facts, evidence.trace.facts
    for role, number in ours["roles"].items():
        if role in theirs["roles"]:
            yield Finding(theirs["roles"][role] == number, f"{role} is {theirs['roles'][role]}, not {number}", role)
    yield Finding(theirs["size"] == ours["size"], f"there are {theirs['size']} tokens, not {ours['size']}", "size")


def _judged_here(case: Case) -> bool:
    """Whether what the files say of ids is judged on this case, and not on ``tokenizer-files``."""
    return not case.notes.get("ids_apart")


@check(
    "FILE02",
    claim="the tokenizer's files are whole and agree with config.json: vocabulary, special tokens, lengths",
    source="BART page, BartConfig: vocab_size is the number of tokens that input_ids can represent; pad_token_id …",
    likely_cause="files of another model, a token added without a row in the table, or ids that were never filled in",
    cases=("tokenize", "tokenizer-files"),
    needs_oracle=False,
    role="file",
    applies=_judged_here,
)
def tokenizer_and_config_agree(evidence: Evidence) -> Iterator[Result]:
    """A table may have rows that no token uses, and never too few.

    A composition has two tables. Where they are not of one size, its tokenizer is that of the half whose table has
    a row for each token and no more; where neither has, all that is claimed is that it fits the larger.
    """
    facts = evidence.trace.facts
    for what in facts.get("problems", ()):
        yield Finding(False, what, "files")
    size, ids = max(_sizes(evidence).values()), _ids_of(evidence, facts["largest"] + 1)
    called = f": {facts['called']}" if facts.get("called") else ""
    what = f"token {facts['largest']} has no row in a table of {size}{called}"
    yield Finding(facts["largest"] < size, what, "vocab_size")
    if ids is not None:
        yield from _special_tokens(facts, ids)
    longest, places = facts["model_max_length"], _places(evidence)
    number = longest is None or (isinstance(longest, int | float) and not isinstance(longest, bool))
    yield Finding(number, f"model_max_length is {shown(longest)}, which is no number", "model_max_length")
    fits = not number or longest is None or places is None or longest <= places or longest >= UNLIMITED
    yield Finding(fits, f"model_max_length is {longest}, and there are {places} positions", "model_max_length")


ROLES_OF_IDS = (
    ("pad_token_id", ("pad_token",)),
    ("bos_token_id", ("bos_token",)),
    ("eos_token_id", ("eos_token", "sep_token")),
)
"""BERT's tokenizers have no end, and put the other behind a text."""


def _special_tokens(facts: Facts, config: dict[str, Any]) -> Iterator[Result]:
    for name, roles in ROLES_OF_IDS:
        role = next((role for role in roles if facts["roles"].get(role) is not None), roles[0])
        token, stated = facts["roles"].get(role), config.get(name)
        # Of ends a config may list several (generation page, eos_token_id).
        same = stated is None or token is None or (token in stated if isinstance(stated, list) else token == stated)
        yield Finding(same, f"{name} is {stated}, and the tokenizer's {role} is {token}", name)
    for name in ("decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id"):
        number = config.get(name)
        numbers = [] if number is None else number if isinstance(number, list) else [number]
        known = all(0 <= each <= facts["largest"] for each in numbers)
        yield Finding(known, f"{name} is {number}, which is no token", name)


def _sizes(evidence: Evidence) -> dict[str, int]:
    """Rows of the tables that tokens are looked up in, by the half that has one: an encoder of audio has none."""
    config = evidence.config
    if not evidence.model_spec.composed:
        return {"": config["vocab_size"]}
    halves = ("decoder",) if evidence.model_spec.speech is not None else ("encoder", "decoder")
    return {half: config[half]["vocab_size"] for half in halves}


def _ids_of(evidence: Evidence, count: int) -> dict[str, Any] | None:
    """The ids of special tokens that a tokenizer of ``count`` tokens is held against; None where it may be any half's.

    Those of a composition stand in its own config, or where it has none in its decoder's.
    """
    sizes, config = _sizes(evidence), evidence.config
    fitting = [half for half, size in sizes.items() if size == count or len(set(sizes.values())) == 1]
    if not evidence.model_spec.composed or not fitting:
        return None if not fitting else config
    own = {name: value for name, value in config.items() if value is not None}
    return {**config["decoder"], **own} if fitting[-1] == "decoder" else config["encoder"]


def _places(evidence: Evidence) -> int | None:
    """Positions of what reads the text; None where the encoder reads audio, whose samples are no tokens."""
    if not evidence.model_spec.composed:
        return evidence.config["max_position_embeddings"]
    return None if evidence.model_spec.speech is not None else evidence.model_spec.source_positions


@check(
    "FILE03",
    claim="tokenizer.json holds the vocabulary of vocab.json and the merges of merges.txt, or the words of vocab.txt",
    source="BART page, BartTokenizerFast: vocab_file, merges_file, tokenizer_file: one tokenizer, in either form",
    likely_cause="one of the files was edited or copied from another checkpoint, and the other was not made anew",
    cases=("tokenize", "tokenizer-files"),
    needs_oracle=False,
    role="file",
    applies=lambda case: _judged_here(case) and bool(case.notes.get("serialised")),
)
def both_forms_are_one_tokenizer(evidence: Evidence) -> Iterator[Result]:
    """The slow class reads the one form and the fast class the other: the same text gets other tokens."""
    found = evidence.trace.facts["serialised"]
    if found is None:
        raise LookupError("the two forms were not compared")
    older = "vocab.txt" if evidence.trace.facts.get("kind") == "WordPiece" else "vocab.json"
    for token, there, here in found["tokens"]:
        yield Finding(False, f"{token!r} has the id {there} in tokenizer.json, {here} in {older}", "vocabulary")
    rank, there, here = found["merge"] or (0, None, None)
    what = f"merge {rank} is {there!r} in tokenizer.json, {here!r} in merges.txt"
    yield Finding(found["merge"] is None, what, "merges")
