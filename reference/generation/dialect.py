"""The choices of greedy and beam search that implementations make differently: a field for each choice, a value for
each variant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class PenalisedLength(Enum):
    """The tokens that are counted in the length of the length penalty."""

    GENERATED = "all tokens except the start token, including EOS"
    WHOLE = "all tokens including the start token"


class EndRank(Enum):
    """The rank that a candidate with EOS needs to count as finished."""

    AMONG_BEAMS = "among the best num_beams candidates"
    AMONG_CANDIDATES = "among the best 2 * num_beams candidates"


class EndAfterForced(Enum):
    """The effect of EOS as a candidate for the token after ``forced_bos_token_id``, in beam search."""

    AS_ELSEWHERE = "that of any other step"
    ONLY_BEST = "none unless it is the best candidate; its place among the beams stays empty for a step"


class EndToken(Enum):
    """The last token of a text that beam search ends, where ``eos_token_id`` has several."""

    OWN = "the one that was generated"
    FIRST = "the first of the list, whichever was generated; the score is that of the generated one"


class Bound(Enum):
    """The upper bound on future scores, for searches that are stopped by a heuristic."""

    BEST_OPEN = "the best unfinished beam"
    BEST_CANDIDATE = "the best candidate of the step, even if it has just ended"


class Stopping(Enum):
    """The effect of ``early_stopping``."""

    AS_SET = "that of its documented values"
    ENOUGH_FINISHED = "whatever its value: stop at num_beams finished hypotheses, or at the best one without a penalty"


class Stop(Enum):
    """Whether a source's search continues because of other sources in its batch."""

    EACH_ROW = "the search of each source stops independently"
    WHOLE_BATCH = "all searches of a batch continue until one step would stop all of them"


class Unfinished(Enum):
    """The treatment of beams that have not ended when ``max_length`` is reached."""

    COMPETE = "they compete with finished beams"
    COMPETE_IF_OPEN = "they compete with finished beams, unless the same step stops the search"
    LAST_RESORT = "they are used only if no beam has finished"


class UnfinishedScore(Enum):
    """The score of an unfinished result when nothing finished competes with it."""

    PENALISED = "divided by the length penalty"
    SUM = "the sum of log-probabilities"


class Padding(Enum):
    """The token that fills a row after its end in beam search; in greedy search it is always pad_token_id."""

    PAD = "pad_token_id"
    END_IF_PAD_IS_ZERO = "pad_token_id, or eos_token_id if pad_token_id is 0"


class DefaultMaxLength(Enum):
    """The meaning of ``max_length = 20``, the documented default."""

    AS_WRITTEN = "20 tokens including the start token"
    MORE_UNLESS_PASSED = "20 tokens after the start token, unless passed as an argument"
    MORE_UNLESS_GIVEN = "20 tokens after the start token if max_length is neither an argument nor stored"
    MORE_IF_PASSED = "20 tokens after the start token, if passed as an argument"


class MinLength(Enum):
    """The length from which EOS is allowed."""

    REACHED = "the text has min_length tokens before EOS"
    EXCEEDED = "the text has more than min_length tokens before EOS"


class MinNewTokens(Enum):
    """The effect of ``min_new_tokens``."""

    COUNTS = "it overrides min_length"
    IGNORED = "none"


class NoRepeatNgram(Enum):
    """The effect of ``no_repeat_ngram_size``."""

    COUNTS = "no n-gram of that size occurs twice"
    WITHOUT_START = "no n-gram of that size occurs twice, without the start token"
    IGNORED = "none"


class Renormalisation(Enum):
    """Whether log-probabilities are normalised again after tokens were forbidden."""

    AS_SET = "if renormalize_logits is set"
    ALWAYS = "always"
    NEVER = "never"


class EncoderPenalty(Enum):
    """The effect of ``encoder_repetition_penalty``."""

    EACH_ROW = "each row by the tokens of its own source"
    FIRST_ROWS = "the first rows of the batch, one for each source, by the sources in their order; no other row"
    IGNORED = "none"


class Effect(Enum):
    """The effect of a setting that some implementations accept and do not apply."""

    AS_DOCUMENTED = "as documented"
    IGNORED = "none"


@dataclass(frozen=True)
class Dialect:
    """The choices of one implementation. The defaults are the documented ones, justified at ``DOCUMENTED``."""

    penalised_length: PenalisedLength = PenalisedLength.GENERATED
    end_rank: EndRank = EndRank.AMONG_BEAMS
    end_after_forced: EndAfterForced = EndAfterForced.AS_ELSEWHERE
    end_token: EndToken = EndToken.OWN
    stopping: Stopping = Stopping.AS_SET
    bound: Bound = Bound.BEST_OPEN
    stop: Stop = Stop.EACH_ROW
    unfinished: Unfinished = Unfinished.COMPETE
    unfinished_score: UnfinishedScore = UnfinishedScore.PENALISED
    padding: Padding = Padding.PAD
    default_max_length: DefaultMaxLength = DefaultMaxLength.AS_WRITTEN
    min_length: MinLength = MinLength.REACHED
    min_new_tokens: MinNewTokens = MinNewTokens.COUNTS
    no_repeat_ngram: NoRepeatNgram = NoRepeatNgram.COUNTS
    renormalisation: Renormalisation = Renormalisation.AS_SET
    repetition_penalty: Effect = Effect.AS_DOCUMENTED
    encoder_repetition_penalty: EncoderPenalty = EncoderPenalty.EACH_ROW
    encoder_no_repeat_ngram: Effect = Effect.AS_DOCUMENTED
    bad_words: Effect = Effect.AS_DOCUMENTED
    sequence_bias: Effect = Effect.AS_DOCUMENTED
    exponential_decay: Effect = Effect.AS_DOCUMENTED


DOCUMENTED = Dialect()
"""The documented behaviour of ``GenerationConfig``; where it is not documented, the search published with BART.

- ``penalised_length``: "applied as an exponent to the sequence length, which in turn is used to divide the score",
  and the score is "the log likelihood of the sequence". The start token has no likelihood; BART's own decoder (fairseq,
  ``sequence_generator.py``) divides by ``step + 1``, the tokens generated with the end.
- ``end_rank``: not documented. The original takes an end only "when it's among the top beam_size indices".
- ``end_after_forced``: the documents name no exception.
- ``end_token``: "use a list to set multiple end-of-sequence tokens", each of which ends a text.
- ``stopping``: the three values of ``early_stopping``.
- ``bound``: ``early_stopping=False`` stops "when is it very unlikely to find better candidates". Candidates
  that are still to be found continue an unfinished beam.
- ``stop``: ``num_beams`` complete candidates are counted for each text, independently of other sources of the batch.
- ``unfinished``: not documented. In the original all beams end at the maximum length in one step, and compete.
- ``unfinished_score``: ``length_penalty`` makes no exception.
- ``padding``: ``pad_token_id`` is "the id of the padding token"; 0 is not special.
- ``default_max_length``: ``max_length``, "the maximum length the generated tokens can have", "the length of the input
  prompt + max_new_tokens", so it includes the start token; 20 is not special.
- ``min_length``: "the length of the input prompt + min_new_tokens", and that many new tokens precede an end. It is
  "the minimum length below which the score of eos_token_id is set to -inf" (``MinLengthLogitsProcessor``).
- ``min_new_tokens``: "the minimum numbers of tokens to generate"; it overrides ``min_length``.
- ``no_repeat_ngram``: "all ngrams of that size can only occur once".
- ``renormalisation``: ``renormalize_logits``, False by default.
- ``encoder_repetition_penalty``: "an exponential penalty on sequences that are not in the original input", so each text
  has its own.
- ``repetition_penalty``, ``encoder_no_repeat_ngram``, ``bad_words``, ``sequence_bias``, ``exponential_decay``: the
  settings ``repetition_penalty``, ``encoder_no_repeat_ngram_size``, ``bad_words_ids``, ``sequence_bias`` and
  ``exponential_decay_length_penalty``, documented for every framework.
- Ties are not documented: the earlier beam first, then the lower token id; an older finished one before an equal new
  one.
"""

TORCH_4_37 = Dialect(
    end_token=EndToken.FIRST,
    bound=Bound.BEST_CANDIDATE,
    unfinished=Unfinished.COMPETE_IF_OPEN,
    encoder_repetition_penalty=EncoderPenalty.FIRST_ROWS,
)
"""transformers 4.37.2, PyTorch (``beam_search.py``: ``BeamSearchScorer``, ``BeamHypotheses.is_done``)."""

TORCH_4_57 = Dialect(
    padding=Padding.END_IF_PAD_IS_ZERO,
    default_max_length=DefaultMaxLength.MORE_UNLESS_PASSED,
    encoder_repetition_penalty=EncoderPenalty.FIRST_ROWS,
)
"""transformers 4.57.6, PyTorch (``utils.py``: ``_beam_search``, ``_prepare_generated_length``)."""

TORCH_5_23 = Dialect(padding=Padding.END_IF_PAD_IS_ZERO, default_max_length=DefaultMaxLength.MORE_UNLESS_GIVEN)
"""transformers 5.23.0, PyTorch: the search of 4.57.6 with a different default length."""

TF = Dialect(
    stop=Stop.WHOLE_BATCH,
    unfinished=Unfinished.LAST_RESORT,
    min_new_tokens=MinNewTokens.IGNORED,
    renormalisation=Renormalisation.NEVER,
    encoder_repetition_penalty=EncoderPenalty.IGNORED,
    encoder_no_repeat_ngram=Effect.IGNORED,
    sequence_bias=Effect.IGNORED,
    exponential_decay=Effect.IGNORED,
)
"""transformers 4.37.2 and 4.57.6, TensorFlow (``tf_utils.py``: ``beam_search_cond_fn``, ``none_finished``)."""

FLAX_4_37 = Dialect(
    end_rank=EndRank.AMONG_CANDIDATES,
    stop=Stop.WHOLE_BATCH,
    unfinished=Unfinished.LAST_RESORT,
    unfinished_score=UnfinishedScore.SUM,
    min_length=MinLength.EXCEEDED,
    min_new_tokens=MinNewTokens.IGNORED,
    no_repeat_ngram=NoRepeatNgram.IGNORED,
    renormalisation=Renormalisation.NEVER,
    repetition_penalty=Effect.IGNORED,
    encoder_repetition_penalty=EncoderPenalty.IGNORED,
    encoder_no_repeat_ngram=Effect.IGNORED,
    bad_words=Effect.IGNORED,
    sequence_bias=Effect.IGNORED,
    exponential_decay=Effect.IGNORED,
)
"""transformers 4.37.2, Flax (``flax_utils.py``: ``beam_search_cond_fn``, ``did_topk_just_finished``)."""

FLAX_4_57 = replace(FLAX_4_37, default_max_length=DefaultMaxLength.MORE_IF_PASSED, no_repeat_ngram=NoRepeatNgram.COUNTS)
"""transformers 4.57.6, Flax: the search of 4.37.2, with a longer ``max_length`` if 20 is passed.

``no_repeat_ngram_size`` raises NotImplementedError there with current JAX.
"""

CTRANSLATE2_4_8 = Dialect(
    end_after_forced=EndAfterForced.ONLY_BEST,
    stopping=Stopping.ENOUGH_FINISHED,
    no_repeat_ngram=NoRepeatNgram.WITHOUT_START,
    renormalisation=Renormalisation.ALWAYS,
)
"""CTranslate2 4.8.5 (``translate_batch`` with ``patience=1``): tokens are forbidden before the softmax.

``end_after_forced``: src/decoding.cc, ``update_sample_with_prefix``.
"""
