"""Ten faults of caches and generation, one line each, in copies of the installed library: caught, first step named."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import pytest

from parity.core.records import Report, Verdict
from parity.core.resources import fixture
from tests.end_to_end.conftest import audited_once
from tests.end_to_end.shadow import shadow_line, stacks_of_copies

pytestmark = pytest.mark.full

BART, CACHES = "models/bart/modeling_bart.py", "cache_utils.py"
PROCESSORS, SEARCHES = "generation/logits_process.py", "generation/utils.py"


@dataclass(frozen=True)
class Fault:
    """One line of the library that became another, and what fails for it: all of it, and nothing else."""

    module: str
    line: str
    instead: str
    caught: str
    """A line for each cell that fails, as ``named`` spells it."""


FAULTS = {
    "keys-one-early": Fault(
        CACHES,
        "self.lazy_initialization(key_states)\n\nself.keys = torch.cat([self.keys, key_states], dim=-2)",
        "self.keys = torch.cat([self.keys[..., :-1, :], key_states, self.keys[..., -1:, :]], -2)"
        " if len(self.keys) else key_states",
        """
        CACHE01 decode-steps: step 1
        CACHE02 decode-chunks: step 3
        CACHE03 decode-steps: step 0
        CACHE03 decode-chunks: step 2
        CACHE06 decode-steps.reordered: step 3
        GEN02 generate.greedy: row 0, token 2
        GEN02 generate.min-length: row 0, token 2
        GEN02 generate.max-length: row 0, token 2
        GEN02 generate.forced-bos: row 0, token 2
        GEN02 generate.forced-eos: row 0, token 2
        GEN02 generate.no-repeat: row 0, token 2
        GEN02 generate.end-forbidden: row 0, token 2
        GEN02 generate.end-allowed: row 0, token 2
        GEN03 generate.defaults: row 2, token 8
        GEN03 generate.beams: row 0, token 3
        GEN03 generate.length-penalty: row 0, token 3
        GEN03 generate.early-stopping: row 0, token 3
        GEN03 generate.perturbed-batch: row 0, token 7
        GEN04 generate.beams: row 0
        GEN04 generate.length-penalty: row 0
        GEN04 generate.early-stopping: row 0
        """,
    ),
    "stale-cross-keys": Fault(
        BART,
        "key_states = self.k_proj(current_states)",
        "key_states = self.k_proj(current_states) if not is_cross_attention or tgt_len > 1"
        " else self.__dict__.setdefault(str(current_states.shape), self.k_proj(current_states))",
        """
        CACHE04 decode-steps.perturbed-batch: decoder.cross_key.0
        GEN03 generate.perturbed-batch: row 0, token 5
        """,
    ),
    "beams-not-reordered": Fault(
        CACHES,
        "self.self_attention_cache.reorder_cache(beam_idx)",
        "pass",
        """
        CACHE06 decode-steps.reordered: step 3
        GEN03 generate.defaults: row 0, token 5
        GEN03 generate.beams: row 0, token 2
        GEN03 generate.length-penalty: row 0, token 2
        GEN03 generate.early-stopping: row 0, token 2
        GEN04 generate.beams: row 0
        GEN04 generate.length-penalty: row 0
        GEN04 generate.early-stopping: row 0
        """,
    ),
    "forced-eos-one-early": Fault(
        PROCESSORS,
        "cur_len = input_ids.shape[-1]\nscores_processed = scores\nif cur_len == self.max_length - 1:",
        "if cur_len == self.max_length - 2:",
        """
        GEN02 generate.forced-eos: row 0, token 4
        GEN03 generate.defaults: row 0, token 22
        GEN03 generate.perturbed-batch: row 0, token 24
        """,
    ),
    "longer-ngrams-banned": Fault(
        PROCESSORS,
        "banned_batch_tokens = _calc_banned_ngram_tokens(self.ngram_size, input_ids, num_batch_hypotheses, cur_len)",
        "banned_batch_tokens = _calc_banned_ngram_tokens("
        "self.ngram_size + 1, input_ids, num_batch_hypotheses, cur_len)",
        """
        GEN02 generate.no-repeat: row 1, token 3
        GEN03 generate.defaults: row 1, token 4
        GEN03 generate.perturbed-batch: row 1, token 4
        """,
    ),
    "start-token-in-penalty": Fault(
        SEARCHES,
        "topk_log_probs = topk_log_probs / ((cur_len + 1 - decoder_prompt_len) ** length_penalty)",
        "topk_log_probs = topk_log_probs / ((cur_len + 1) ** length_penalty)",
        """
        GEN04 generate.beams: row 0
        GEN04 generate.length-penalty: row 0
        GEN04 generate.early-stopping: row 0
        """,
    ),
    "min-length-one-less": Fault(
        PROCESSORS,
        "if input_ids.shape[-1] < self.min_length:",
        "if input_ids.shape[-1] < self.min_length - 1:",
        """
        GEN02 generate.end-forbidden: row 0, token 3
        GEN05 generate.end-forbidden: row 0
        """,
    ),
    "text-after-the-end": Fault(
        SEARCHES,
        "next_tokens = next_tokens * unfinished_sequences + pad_token_id * (1 - unfinished_sequences)",
        "pass",
        """
        GEN07 generate.no-repeat: row 1, token 10
        GEN07 generate.end-forbidden: row 0, token 5
        GEN07 generate.end-allowed: row 0, token 4
        """,
    ),
    "positions-ignore-the-past": Fault(
        BART,
        "positions = self.embed_positions(input, past_key_values_length, position_ids=cache_position)",
        "positions = self.embed_positions(input)",
        """
        CACHE01 decode-steps: step 1
        CACHE02 decode-chunks: step 3
        CACHE03 decode-steps: step 1
        CACHE03 decode-chunks: step 3
        CACHE06 decode-steps.reordered: step 3
        GEN02 generate.forced-bos: row 0, token 2
        GEN02 generate.no-repeat: row 1, token 3
        GEN02 generate.end-forbidden: row 0, token 3
        GEN03 generate.defaults: row 1, token 4
        GEN03 generate.beams: row 0, token 3
        GEN03 generate.length-penalty: row 0, token 3
        GEN03 generate.early-stopping: row 0, token 3
        GEN03 generate.perturbed-batch: row 1, token 4
        GEN04 generate.beams: row 0
        GEN04 generate.length-penalty: row 0
        GEN04 generate.early-stopping: row 0
        """,
    ),
    "cross-mask-dropped-with-a-past": Fault(
        BART,
        "attention_mask=encoder_attention_mask,",
        "attention_mask=None if cache_position[0] else encoder_attention_mask,",
        """
        CACHE01 decode-steps: step 1
        CACHE02 decode-chunks: step 3
        CACHE03 decode-steps: step 1
        CACHE03 decode-chunks: step 3
        CACHE06 decode-steps.reordered: step 3
        GEN02 generate.no-repeat: row 1, token 3
        GEN03 generate.defaults: row 1, token 4
        GEN03 generate.perturbed-batch: row 1, token 4
        GEN04 generate.beams: row 1
        GEN04 generate.length-penalty: row 1
        GEN04 generate.early-stopping: row 1
        """,
    ),
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """One audit of the library and of all its edited copies, each an interpreter of its own."""
    stacks = stacks_of_copies(
        tmp_path_factory.mktemp("copies"),
        lambda name, folder: shadow_line(folder, FAULTS[name].module, FAULTS[name].line, FAULTS[name].instead),
        FAULTS,
    )
    options = ("--backend", "hf-torch/eager", *stacks)
    _, found = audited_once(tmp_path_factory, "decoding-faults", [fixture("bart-odd")], *options, code=1)
    assert found.totals.error == 0
    return found


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_caught_where_it_shows_and_nowhere_else(report, name):
    wanted = textwrap.dedent(FAULTS[name].caught).split("\n")[1:-1]
    assert sorted(named(verdict) for verdict in failed(report, name)) == sorted(wanted)


def test_the_library_as_it_is_passes(report):
    assert not failed(report, "main")


def failed(report: Report, stack: str) -> list[Verdict]:
    """What failed in one stack; that it was asked at all is made sure of."""
    own = [verdict for verdict in report.verdicts if verdict.stack == stack and verdict.backend == "hf-torch"]
    assert sum(verdict.status == "pass" for verdict in own) > len(own) // 2
    return [verdict for verdict in own if verdict.status == "fail"]


def named(verdict: Verdict) -> str:
    """Check, case and place: the row and token of a text, the first wrong step of decoding, or else the tensor."""
    first = verdict.first_divergence
    if verdict.check.startswith("GEN"):
        places = [f"{word} {first.at[axis]}" for word, axis in (("row", "batch"), ("token", "tgt")) if axis in first.at]
    else:
        step = verdict.evidence.get("first_step")
        places = [f"step {step}" if step is not None else first.tensor]
    return f"{verdict.check} {verdict.case}: {', '.join(places)}"
