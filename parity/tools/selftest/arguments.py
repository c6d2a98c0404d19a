"""Which documented arguments the checks depend on: ``python -m parity.tools.selftest.arguments``.

Every argument of each class's call, and every argument and setting of ``generate``, is ignored once: the library runs
as if it had its default (``parity.backends.mutants.library_host``). If a check then fails, the argument is judged, and
the table names the check and the case. If no answer changes, no case gives it another value than its default.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from parity.backends.mutants.library_host import IGNORES
from parity.core.backends import library_backends
from parity.tools.selftest.library import CHUNK, LIBRARIES
from parity.tools.selftest.mutation_results import MutationResult, store, stored
from parity.tools.selftest.mutation_runs import NarrowCase, Runner, every_case, of_operations

FIXTURES = ("bart-odd", "bart-bare", "bart-labels", "bart-span", "bart-causal", "bert2bert", "wav2vec2-bert")
"""One checkpoint of each class whose arguments are in the table."""
LIBRARY = library_backends(framework="torch")[0]
GENERATES = "bart-odd"
"""The checkpoint on which the arguments of ``generate`` are ignored."""
OF_GENERATION = of_operations("generate", "score", "sample", "generation_settings")
"""The cases in which an argument of ``generate`` is ignored."""
OUTCOMES = {"detected": "judged", "survived": "not judged", "no effect": "not judged"}
_FROM_THE_HUB = "4.57.6 runs code of the hub for it, which is never allowed"
_DECODER_ONLY = "concerns decoder-only models that continue a text"
_PROPOSALS = "how many tokens an assistant proposes, which changes the speed and no text"
OUT_OF_SCOPE = {
    "assistant_confidence_threshold": _PROPOSALS,
    "assistant_early_exit": _PROPOSALS,
    "assistant_lookbehind": _PROPOSALS,
    "cache_config": "configures cache classes that are not documented for these models",
    "cache_implementation": "another cache with the same text: the backend hf-torch-static-cache",
    "cache_position": "set by generate; the page documents it for no call of a user's",
    "compile_config": "concerns compilation, and no result",
    "constraints": _FROM_THE_HUB,
    "custom_generate": "runs code of a checkpoint, which is never allowed",
    "disable_compile": "concerns compilation, and no result",
    "diversity_penalty": _FROM_THE_HUB,
    "dola_layers": _FROM_THE_HUB,
    "force_words_ids": _FROM_THE_HUB,
    "guidance_scale": _DECODER_ONLY,
    "is_assistant": "set by the library itself",
    "kwargs": "further keywords of the library's own calls",
    "low_memory": "deprecated, and computes the same",
    "max_matching_ngram_size": _PROPOSALS,
    "max_time": "ends a text by the clock, so that no text is the right one",
    "negative_prompt_attention_mask": _DECODER_ONLY,
    "negative_prompt_ids": _DECODER_ONLY,
    "num_assistant_tokens": _PROPOSALS,
    "num_assistant_tokens_schedule": _PROPOSALS,
    "num_beam_groups": _FROM_THE_HUB,
    "penalty_alpha": _FROM_THE_HUB,
    "prefill_chunk_size": _DECODER_ONLY,
    "prompt_lookup_num_tokens": _PROPOSALS,
    "remove_invalid_values": "of effect only where logits are not finite, which NUM04 reports",
    "return_legacy_cache": "the class of a cache in the output, which no documented example reads",
    "synced_gpus": "concerns several processes",
    "target_lookbehind": _PROPOSALS,
    "token_healing": _DECODER_ONLY,
    "transformers_version": "a record in the file, and no setting",
    "trust_remote_code": "runs code of a checkpoint, which is never allowed",
    "use_model_defaults": "concerns the library's versions of a setting file",
    "watermarking_config": "marks sampled text, which no documented example does",
}
"""Arguments that are not ignored, with the reason."""
NOT_YET = {
    "BartForQuestionAnswering.forward": {"encoder_outputs": "no case passes it to this class"},
    "BartForSequenceClassification.forward": {"encoder_outputs": "no case passes it to this class"},
    "BartForConditionalGeneration.generate": {
        "bos_token_id": "of effect only without decoder_start_token_id, which every fixture has",
        "use_cache": "without it the text is the same, and only the time shows which was taken",
        "encoder_no_repeat_ngram_size": "not implemented in the references",
        "encoder_repetition_penalty": "not implemented in the references",
        "stop_strings": "needs a tokenizer in the call, which no case passes",
        "output_attentions": "no check reads it in the output of generate",
        "output_hidden_states": "no check reads it in the output of generate",
    },
    "SpeechEncoderDecoderModel.forward": {"input_features": "another name of input_values"},
}
"""By method, the arguments that no check judges, with the reason: a table without one is not written."""


@dataclass(frozen=True)
class Ignored:
    """An argument that is ignored.

    Attributes:
        owner: the class.
        method: ``forward`` or ``generate``.
    """

    owner: str
    method: str
    argument: str

    @property
    def name(self) -> str:
        return f"{IGNORES}{self.method}.{self.argument}"

    @property
    def text(self) -> str:
        return f"{self.owner}.{self.method}({self.argument}=…)"

    operator = "ignored argument"

    @property
    def module(self) -> str:
        return f"{self.owner}.{self.method}"


def measure(
    fixtures: Sequence[str] = FIXTURES,
    *,
    out: Path | None = None,
    cache: Path | None = None,
    jobs: int | None = None,
    report_progress: Callable[[str], None] = lambda line: None,
) -> list[MutationResult]:
    """Ignores every argument once.

    Args:
        fixtures: the checkpoints.
        out: a JSON Lines file. Results are appended, and those that it has are not computed again.
        report_progress: called with a line after each chunk.

    Returns:
        By class and method, in the order of the signatures.
    """
    done = {(each.module, each.mutation): each for each in stored(out)}
    found = []
    with tempfile.TemporaryDirectory(prefix="parity-arguments-") as folder:
        runner = Runner(LIBRARIES[LIBRARY], Path(folder), cache, jobs, None)
        for checkpoint in fixtures:
            methods: dict[str, NarrowCase] = {"forward": every_case}
            if checkpoint == GENERATES:
                methods["generate"] = OF_GENERATION
            for method, narrow in methods.items():
                every = list(_arguments(checkpoint, method))
                left = [each for each in every if (each.module, each.name) not in done]
                for start in range(0, len(left), CHUNK):
                    chunk = left[start : start + CHUNK]
                    for result in runner.run(checkpoint, dict.fromkeys(chunk, ("eager",)), narrow):
                        done[result.module, result.mutation] = store(out, result)
                    report_progress(f"{checkpoint} {method}: {min(start + CHUNK, len(left))} of {len(left)}")
                found += [done[each.module, each.name] for each in every]
    return found


def _arguments(checkpoint: str, method: str) -> Iterator[Ignored]:
    """The documented arguments of a method of the class that a fixture is loaded as."""
    import inspect

    import transformers

    from parity.checkpoint.inspection import inspect_checkpoint
    from parity.core.resources import fixture

    owner = inspect_checkpoint(fixture(checkpoint)).model_class
    names: list[str] = [*inspect.signature(getattr(getattr(transformers, owner), method)).parameters]
    if method == "generate":
        names += [name for name in transformers.GenerationConfig().to_dict() if not name.startswith("_")]
    for name in dict.fromkeys(names):
        if name not in ("self", "inputs", "generation_config", *OUT_OF_SCOPE):
            yield Ignored(owner, method, name)


def table(results: Sequence[MutationResult]) -> Iterator[str]:
    """The table as Markdown.

    Raises:
        KeyError: an argument is not judged, and ``NOT_YET`` has no reason.
    """
    yield "# Documented arguments, PyTorch\n"
    yield "Made by `python -m parity.tools.selftest.arguments`: each argument is ignored once, and the library runs as"
    yield "if it had its default. `judged` names a check that then fails, and its case.\n"
    for module in dict.fromkeys(each.module for each in results):
        here = [each for each in results if each.module == module]
        judged = sum(each.outcome == "detected" for each in here)
        yield f"## {module}\n\n{judged} of {len(here)} arguments are judged.\n"
        yield "| argument | result | check | case |\n|---|---|---|---|"
        for each in here:
            argument = each.mutation.rpartition(".")[2]
            why = "" if each.outcome == "detected" else f": {NOT_YET[module][argument]}"
            yield f"| `{argument}` | {OUTCOMES[each.outcome]}{why} | {', '.join(each.checks[:3])} | {each.case} |"
        yield ""
    yield "## Left out\n\n| argument | reason |\n|---|---|"
    yield from (f"| `{name}` | {why} |" for name, why in sorted(OUT_OF_SCOPE.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m parity.tools.selftest.arguments", description=__doc__)
    parser.add_argument("fixtures", nargs="*", default=FIXTURES, help="default: one of each class")
    parser.add_argument("--results", type=Path, help="store results here, and go on from those that it has")
    parser.add_argument("--out", type=Path, default=Path("reports/arguments.md"))
    parser.add_argument("--jobs", type=int)
    given: Any = parser.parse_args(arguments)
    found = measure(given.fixtures, out=given.results, jobs=given.jobs, report_progress=partial(print, flush=True))
    given.out.write_text("\n".join(table(found)) + "\n", encoding="utf-8")
    print(f"{given.out}: {sum(each.outcome == 'detected' for each in found)} of {len(found)} arguments are judged")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
