"""Tokenizers: encoding and decoding as documented, for any characters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from parity.core.case import Case
from parity.core.trace import Facts
from parity.judge.checks.registry import check
from parity.judge.checks.saving import finding_without_content
from parity.judge.evidence import Evidence
from parity.judge.results import Finding, Result
from reference.generation import shown

_PAGE = "BART page, BartTokenizer and BartTokenizerFast: byte-level BPE, a space before a word is part of its token"
_CALL = "tokenizer page, PreTrainedTokenizerBase.__call__"
UNLIMITED = 10**30
"""The default ``model_max_length`` (transformers 4.57.6, tokenization_utils_base.py, ``VERY_LARGE_INTEGER``). As a
float of a JSON file it is slightly larger."""
FAST = "dialect.fast"
"""The tensor name of a finding in which the library's result equals our tokenizer in the fast class's dialect."""


def _expected(evidence: Evidence) -> tuple[dict[str, Any], dict[str, Any], list[Finding]]:
    """The documented results, those in the fast class's dialect, and findings about the files themselves."""
    trace = evidence.reference_reading
    if trace.raised is not None:
        return {}, {}, [Finding(False, f"no expected result to compare with: {trace.raised.message}", "files")]
    return trace.facts["documented"], trace.facts["fast"], []


def _compare(theirs: Any, documented: Any, fast: Any, name: str, what: str) -> Finding:
    about = FAST if theirs == fast != documented else name
    return Finding(theirs == documented, f"{what} gives {_short(theirs)}; documented is {_short(documented)}", about)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 90 else f"{text[:87]}…"


def _texts(evidence: Evidence, *fields: str) -> Iterator[Result]:
    """Compares these fields for every text, with and without a prefix space."""
    documented, fast, broken = _expected(evidence)
    yield from broken
    if broken:
        return
    for prefix, rows in evidence.trace.facts["texts"].items():
        for index, (text, row) in enumerate(zip(evidence.case.settings["texts"], rows, strict=True)):
            for field in fields:
                ours, other = documented["texts"][prefix][index][field], fast["texts"][prefix][index][field]
                spaced = " with a prefix space" if prefix == "True" else ""
                yield _compare(row[field], ours, other, field, f"{field} of {_short(text)}{spaced}")


@check(
    "TOK01",
    claim="every text has the documented tokens, with and without special tokens, with and without a prefix space",
    source=_PAGE,
    likely_cause="another Unicode table, another rule for spaces at added tokens, or merges applied in another order",
    cases=("tokenize",),
    needs_oracle=False,
)
def ids_are_documented(evidence: Evidence) -> Iterator[Result]:
    """With other tokens the model processes another text than it was trained on."""
    yield from _texts(evidence, "ids", "ids_without_special_tokens")


@check(
    "TOK02",
    claim="special_tokens_mask is 1 for each special token, and attention_mask is 1 for each token to attend to",
    source=f"{_CALL}: return_special_tokens_mask, return_attention_mask",
    likely_cause="a special token that is written in the text is treated as one that the tokenizer added",
    cases=("tokenize",),
    needs_oracle=False,
)
def masks_are_documented(evidence: Evidence) -> Iterator[Result]:
    """Masked-language training skips the tokens that ``special_tokens_mask`` marks."""
    yield from _texts(evidence, "special_tokens_mask", "attention_mask")


@check(
    "TOK03",
    claim="a pair of texts becomes one row with the documented special tokens: two ends between the texts",
    source="BART page, BartTokenizer.build_inputs_with_special_tokens: <s> A </s></s> B </s>",
    likely_cause="only one end between the texts, or a second text that is dropped if it is empty",
    cases=("tokenize",),
    needs_oracle=False,
)
def pairs_are_framed(evidence: Evidence) -> Iterator[Result]:
    """Only these tokens separate premise and hypothesis."""
    documented, fast, broken = _expected(evidence)
    yield from broken
    for index, row in enumerate([] if broken else evidence.trace.facts["pairs"]):
        pair = evidence.case.settings["pairs"][index]
        for field in ("ids", "ids_without_special_tokens", "special_tokens_mask"):
            ours, other = documented["pairs"][index][field], fast["pairs"][index][field]
            yield _compare(row[field], ours, other, field, f"{field} of {_short(pair)}")


@check(
    "TOK04",
    claim="decoding gives the documented text: in full, without special tokens, and with clean-up",
    source="tokenizer page, PreTrainedTokenizerBase.decode: skip_special_tokens, clean_up_tokenization_spaces",
    likely_cause="spaces inserted around added tokens, or a clean-up that is on by default",
    cases=("tokenize",),
    needs_oracle=False,
)
def tokens_are_decoded(evidence: Evidence) -> Iterator[Result]:
    """Decodes the class's own tokens. Texts whose tokens differ from the documented ones are TOK01's failures."""
    documented, fast, broken = _expected(evidence)
    yield from broken
    encoded = [] if broken else evidence.trace.facts["texts"]["False"]
    same = [index for index, row in enumerate(encoded) if row["ids"] == documented["texts"]["False"][index]["ids"]]
    if not (broken or same):
        yield Finding(False, "no text has the documented tokens (TOK01), so none could be decoded", "ids")
    for index in same:
        text, row = evidence.case.settings["texts"][index], evidence.trace.facts["decoded"][index]
        for field, theirs in row.items():
            ours, other = documented["decoded"][index][field], fast["decoded"][index][field]
            yield _compare(theirs, ours, other, field, f"{field} of {_short(text)}")


@check(
    "TOK05",
    claim="offsets are the character span of each token in the text",
    source=f"{_CALL}: return_offsets_mapping, (char_start, char_end) for each token",
    likely_cause="a span that starts at the space before its word, or that is shifted after a dropped byte",
    cases=("tokenize",),
    requires=("offsets",),
    needs_oracle=False,
)
def offsets_point_at_the_text(evidence: Evidence) -> Iterator[Result]:
    """An answer that is extracted from a context by its span loses or gains a character."""
    yield from _texts(evidence, "offsets")


@check(
    "TOK06",
    claim="rows truncated and padded to a length keep their special tokens; both happen on the requested sides",
    source=f"{_CALL}: truncation=True, padding='max_length', max_length; padding_side, truncation_side",
    likely_cause="truncation that removes special tokens, or a mask that attends to padding",
    cases=("tokenize",),
    needs_oracle=False,
)
def rows_are_truncated_and_padded(evidence: Evidence) -> Iterator[Result]:
    """The expected row follows from the class's own tokens of the whole text."""
    short, facts = evidence.case.settings["short"], evidence.trace.facts
    pad = facts["roles"]["pad_token"]
    for sides, rows in facts["short"].items():
        cut, side = sides.split()
        for index, row in enumerate(rows):
            tokens = _truncate(facts["texts"]["False"][index]["ids"], short, cut)
            padding, seen = [pad] * (short - len(tokens)), [1] * len(tokens)
            unseen = [0] * len(padding)
            ids, mask = (tokens + padding, seen + unseen) if side == "right" else (padding + tokens, unseen + seen)
            what = f"{_short(evidence.case.settings['texts'][index])} truncated {cut} and padded {side}"
            yield Finding(row["ids"] == ids, f"{what} is {row['ids']}, not {ids}", "ids")
            yield Finding(
                row["attention_mask"] == mask, f"{what} has the mask {row['attention_mask']}", "attention_mask"
            )


def _truncate(whole: list[int], short: int, side: str) -> list[int]:
    """The row truncated to ``short`` tokens: tokens of the text are removed on ``side``, special tokens stay."""
    if len(whole) <= short:
        return whole
    text = whole[1:-1]
    text = text[: short - 2] if side == "right" else text[len(text) - (short - 2) :]
    return [whole[0], *text, whole[-1]]


@check(
    "TOK07",
    claim="a tokenizer that is saved and loaded again gives the same tokens",
    source="tokenizer page, save_pretrained: it can be loaded again with from_pretrained",
    likely_cause="the white space of a special token, or an added token, is lost on saving",
    cases=("tokenize",),
    needs_oracle=False,
)
def saved_tokenizers_are_the_same(evidence: Evidence) -> Iterator[Result]:
    """The published tokenizer must be the tested one."""
    facts = evidence.trace.facts
    for text, before, after in zip(
        evidence.case.settings["texts"], facts["texts"]["False"], facts["saved"], strict=True
    ):
        yield Finding(
            before["ids"] == after, f"{_short(text)} gave {_short(before['ids'])}, then {_short(after)}", "ids"
        )


@check(
    "TOK08",
    claim="special tokens have the ids of the files, and the vocabulary has the size of the files",
    source="BART page, BartTokenizer: bos_token, eos_token, sep_token, cls_token, unk_token, pad_token, mask_token",
    likely_cause="a default used instead of the files' value, or an added token that is counted twice",
    cases=("tokenize",),
    needs_oracle=False,
)
def special_tokens_are_those_of_the_files(evidence: Evidence) -> Iterator[Result]:
    """The model treats padding with another id as text."""
    _, _, broken = _expected(evidence)
    yield from broken
    if broken:
        return
    ours, theirs = evidence.reference_reading.facts, evidence.trace.facts
    for role, number in ours["roles"].items():
        if role in theirs["roles"]:
            yield Finding(theirs["roles"][role] == number, f"{role} is {theirs['roles'][role]}, not {number}", role)
    yield Finding(
        theirs["size"] == ours["size"], f"the vocabulary has {theirs['size']} tokens, not {ours['size']}", "size"
    )


@check(
    "TOK09",
    claim="a tokenizer that another version saved gives the tokens of the original files",
    source="tokenizer page, save_pretrained: it can be loaded again with from_pretrained",
    likely_cause="the white space of a special token, or an added token, that only one version writes or reads",
    cases=("save-tokenizer", "saved-tokenizer.*"),
    needs_oracle=False,
    handles_exceptions=True,
)
def other_versions_give_the_same_tokens(evidence: Evidence) -> Iterator[Result]:
    """The reader reads the original files too: what it makes of them are the expected tokens.

    No documentation promises that an older version reads files of a newer one: it may raise a clear error.
    """
    if (found := finding_without_content(evidence)) is not None:
        yield found
        return
    facts = evidence.trace.facts
    for text, before, after in zip(evidence.case.settings["texts"], facts["before"], facts["after"], strict=True):
        what = (
            f"{_short(text)} gives {_short(after)} with files saved by {evidence.saver}; with the original files "
            f"{_short(before)}"
        )
        yield Finding(before == after, what, "ids")


def _judged_here(case: Case) -> bool:
    """Whether the ids of the files are judged on this case instead of on ``tokenizer-files``."""
    return not case.notes.get("ids_apart")


@check(
    "FILE02",
    claim="the tokenizer files are complete and agree with config.json: vocabulary, special tokens, lengths",
    source="BART page, BartConfig: vocab_size is the number of tokens that input_ids can represent; pad_token_id …",
    likely_cause="files of another model, a token added without resizing the embedding, or ids that were never set",
    cases=("tokenize", "tokenizer-files"),
    needs_oracle=False,
    role="file",
    applies=_judged_here,
)
def tokenizer_and_config_agree(evidence: Evidence) -> Iterator[Result]:
    """An embedding may have unused rows, but not too few.

    A composition has two embeddings. If their sizes differ, the tokenizer belongs to the half whose embedding has
    exactly one row for each token; if neither has, the claim is only that the tokens fit the larger one.
    """
    facts = evidence.trace.facts
    for what in facts.get("problems", ()):
        yield Finding(False, what, "files")
    size, ids = max(_sizes(evidence).values()), _ids_of(evidence, facts["largest_id"] + 1)
    token = f": {facts['largest_token']}" if facts.get("largest_token") else ""
    what = f"token {facts['largest_id']} has no row in an embedding of {size} rows{token}"
    yield Finding(facts["largest_id"] < size, what, "vocab_size")
    if ids is not None:
        yield from _special_tokens(facts, ids)
    longest, positions = facts["model_max_length"], _positions(evidence)
    number = longest is None or (isinstance(longest, int | float) and not isinstance(longest, bool))
    yield Finding(number, f"model_max_length is {shown(longest)}, which is not a number", "model_max_length")
    fits = not number or longest is None or positions is None or longest <= positions or longest >= UNLIMITED
    yield Finding(fits, f"model_max_length is {longest}, but the model has {positions} positions", "model_max_length")


ROLES_OF_IDS = (
    ("pad_token_id", ("pad_token",)),
    ("bos_token_id", ("bos_token",)),
    ("eos_token_id", ("eos_token", "sep_token")),
)
"""By id in config.json, the roles of the tokenizer; BERT's tokenizers have no EOS token and end a text with SEP."""


def _special_tokens(facts: Facts, config: dict[str, Any]) -> Iterator[Result]:
    for name, roles in ROLES_OF_IDS:
        role = next((role for role in roles if facts["roles"].get(role) is not None), roles[0])
        token, stated = facts["roles"].get(role), config.get(name)
        # eos_token_id may be a list (generation page).
        same = stated is None or token is None or (token in stated if isinstance(stated, list) else token == stated)
        yield Finding(same, f"{name} is {stated}, but the tokenizer's {role} is {token}", name)
    for name in ("decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id"):
        number = config.get(name)
        numbers = [] if number is None else number if isinstance(number, list) else [number]
        valid = all(0 <= each <= facts["largest_id"] for each in numbers)
        yield Finding(valid, f"{name} is {number}, which is not a token", name)


def _sizes(evidence: Evidence) -> dict[str, int]:
    """Rows of the token embeddings, by half; an audio encoder has none."""
    config = evidence.config
    if not evidence.model_spec.composed:
        return {"": config["vocab_size"]}
    halves = ("decoder",) if evidence.model_spec.speech is not None else ("encoder", "decoder")
    return {half: config[half]["vocab_size"] for half in halves}


def _ids_of(evidence: Evidence, count: int) -> dict[str, Any] | None:
    """The config ids to compare with a tokenizer of ``count`` tokens; None if its half cannot be determined.

    The ids of a composition are in its own config, or, if it has none, in its decoder's.
    """
    sizes, config = _sizes(evidence), evidence.config
    fitting = [half for half, size in sizes.items() if size == count or len(set(sizes.values())) == 1]
    if not evidence.model_spec.composed or not fitting:
        return None if not fitting else config
    own = {name: value for name, value in config.items() if value is not None}
    return {**config["decoder"], **own} if fitting[-1] == "decoder" else config["encoder"]


def _positions(evidence: Evidence) -> int | None:
    """The number of positions of the half that reads text; None if the encoder reads audio."""
    if not evidence.model_spec.composed:
        return evidence.config["max_position_embeddings"]
    return None if evidence.model_spec.speech is not None else evidence.model_spec.source_positions


@check(
    "FILE03",
    claim="tokenizer.json has the vocabulary of vocab.json and the merges of merges.txt, or the words of vocab.txt",
    source="BART page, BartTokenizerFast: vocab_file, merges_file, tokenizer_file: one tokenizer, in either form",
    likely_cause="one of the files was edited or copied from another checkpoint, and the other was not regenerated",
    cases=("tokenize", "tokenizer-files"),
    needs_oracle=False,
    role="file",
    applies=lambda case: _judged_here(case) and bool(case.notes.get("serialised")),
)
def both_forms_are_one_tokenizer(evidence: Evidence) -> Iterator[Result]:
    """The slow class reads one form and the fast class the other, so the same text has other tokens."""
    found = evidence.trace.facts["serialised"]
    if found is None:
        raise LookupError("the two forms were not compared")
    older = "vocab.txt" if evidence.trace.facts.get("kind") == "WordPiece" else "vocab.json"
    for token, there, here in found["tokens"]:
        yield Finding(False, f"{token!r} has id {there} in tokenizer.json and {here} in {older}", "vocabulary")
    rank, there, here = found["merge"] or (0, None, None)
    what = f"merge {rank} is {there!r} in tokenizer.json and {here!r} in merges.txt"
    yield Finding(found["merge"] is None, what, "merges")
