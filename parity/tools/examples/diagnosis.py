"""Diagnoses a failing example in one line and, where the correction is clear, gives the corrected line.

A rule examines the statement that raised and the exception, and describes the fault. Where it has a correction, it
returns the corrected example, which is run again: a correction is only shown with the result of running it.
"""

from __future__ import annotations

import codeop
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from parity.tools.examples.edits import changed, with_argument, without_argument
from parity.tools.examples.model import Block, Statement
from parity.tools.examples.results import ExampleResult, Raised

USUAL_NAMES = {
    "tf": "import tensorflow as tf",
    "jnp": "import jax.numpy as jnp",
    "np": "import numpy as np",
    "torch": "import torch",
    "jax": "import jax",
    "load_dataset": "from datasets import load_dataset",
}
"""Names of libraries that documents use without importing them."""
OF_GENERATION = {
    "forced_bos_token_id",
    "forced_eos_token_id",
    "num_beams",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
}


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong, and the corrected example where there is one."""

    text: str
    corrected: str = ""
    mended: Block | None = None


Rule = Callable[[Block, int, Raised], Diagnosis | None]


def diagnose(block: Block, result: ExampleResult) -> Diagnosis | None:
    """Diagnoses an example that failed; None where no rule applies."""
    number = next((n for n, each in enumerate(result.statements) if each.status == "breaks"), None)
    raised = None if number is None else result.statements[number].raised
    if number is None or raised is None:
        return None
    return next((found for rule in RULES if (found := rule(block, number, raised))), None)


def _name_never_imported(block: Block, number: int, raised: Raised) -> Diagnosis | None:
    found = re.match(r"name '(\w+)' is not defined", raised.message)
    if raised.type != "NameError" or found is None or found[1] not in USUAL_NAMES:
        return None
    line = USUAL_NAMES[found[1]]
    first = Statement(f"{line}\n", "", block.line)
    return Diagnosis(
        f"the example never imports {found[1]}", line, replace(block, statements=(first, *block.statements))
    )


def _prompt_inside_a_string(block: Block, number: int, raised: Raised) -> Diagnosis | None:
    if raised.type != "SyntaxError" or "triple-quoted" not in raised.message:
        return None
    for end in range(number + 1, len(block.statements)):
        code = "".join(each.code for each in block.statements[number : end + 1])
        try:
            whole = codeop.compile_command(code, symbol="exec") is not None
        except (SyntaxError, ValueError):
            return None
        if whole:
            joined = replace(block.statements[number], code=code)
            mended = (*block.statements[:number], joined, *block.statements[end + 1 :])
            second = block.statements[number + 1].code.strip()
            return Diagnosis(
                "a text in triple quotes goes on behind >>>, which begins a new statement; its lines go on behind ...",
                f"... {second}",
                replace(block, statements=mended),
            )
    return None


def _class_is_gone(block: Block, number: int, raised: Raised) -> Diagnosis | None:
    found = re.match(r"cannot import name '((TF|Flax)\w+)' from 'transformers'", raised.message)
    if raised.type != "ImportError" or found is None:
        return None
    framework = {"TF": "TensorFlow", "Flax": "Flax"}[found[2]]
    return Diagnosis(f"this version has no {framework} classes: {found[1]} is gone")


def _setting_of_generation(block: Block, number: int, raised: Raised) -> Diagnosis | None:
    found = re.search(r"__init__\(\) got an unexpected keyword argument '(\w+)'", raised.message)
    if raised.type != "TypeError" or found is None or found[1] not in OF_GENERATION:
        return None
    name = found[1]
    text = f"{name} is a setting of generation, which this version takes in generate() and not while it loads"
    code, value = without_argument(block.statements[number].code, name)
    if not code:
        return Diagnosis(text)
    without = changed(block, number, code)
    for at in range(number + 1, len(block.statements)):
        longer = with_argument(block.statements[at].code, "generate", f"{name}={value}")
        if longer:
            return Diagnosis(text, longer.strip(), changed(without, at, longer))
    return Diagnosis(text, without.statements[number].code.strip(), without)


def _start_token_not_saved(block: Block, number: int, raised: Raised) -> Diagnosis | None:
    if not raised.message.startswith("`decoder_start_token_id` or `bos_token_id` has to be defined"):
        return None
    text = "generate() reads the generation config, which is saved without what was set in model.config alone"
    model = re.search(r"(\w+)\.generate\(", block.statements[number].code)
    name = model[1] if model else "model"
    return _given(block, number, f"decoder_start_token_id={name}.config.decoder_start_token_id", text)


def _minimum_above_maximum(block: Block, number: int, raised: Raised) -> Diagnosis | None:
    found = re.search(r"the minimum length \((\d+)\) is larger than the maximum length \((\d+)\)", raised.message)
    if raised.type != "ValueError" or found is None:
        return None
    text = f"the checkpoint's config asks for at least {found[1]} tokens, the example for {found[2]} at most"
    return _given(block, number, "min_length=0", text)


def _model_without_weights(block: Block, number: int, raised: Raised) -> Diagnosis | None:
    saved = re.match(r"(\w+)\.save_pretrained\(", block.statements[number].code)
    if (
        not raised.message.startswith("Weights for model")
        or "have not yet been created" not in raised.message
        or not saved
    ):
        return None
    built = Statement(f"{saved[1]}.build()\n", "", block.statements[number].line)
    mended = replace(block, statements=(*block.statements[:number], built, *block.statements[number:]))
    return Diagnosis(
        "a composed TF model has no weights of its own before it is called or built", built.code.strip(), mended
    )


def _field_of_another_output(block: Block, number: int, raised: Raised) -> Diagnosis | None:
    found = re.match(r"'(\w+)' object has no attribute 'last_hidden_state'", raised.message)
    if raised.type != "AttributeError" or found is None or "LM" not in found[1]:
        return None
    text = f"last_hidden_state is of a base model's output; this model has a head and gives a {found[1]}, with logits"
    return _replaced(block, number, ".last_hidden_state", ".logits", text)


def _tf_reads_no_torch_file(block: Block, number: int, raised: Raised) -> Diagnosis | None:
    if raised.type != "TypeError" or "'builtins.safe_open' object is not iterable" not in raised.message:
        return None
    text = "the TF classes of this version cannot read a model.safetensors that PyTorch wrote, unless they are told so"
    both = "encoder_from_pt=True, decoder_from_pt=True"
    composed = _given(block, number, both, text, "from_encoder_decoder_pretrained")
    return composed if composed.corrected else _given(block, number, "from_pt=True", text, "from_pretrained")


def _no_such_field(block: Block, number: int, raised: Raised) -> Diagnosis | None:
    found = re.match(r"(\w+)\.__init__\(\) got an unexpected keyword argument 'add_cross_attention'", raised.message)
    if raised.type != "TypeError" or found is None:
        return None
    text = f"in this version the config of {found[1]} has no add_cross_attention"
    code, value = without_argument(block.statements[number].code, "add_cross_attention")
    # Removing any value but the former default would specify another model.
    return (
        _rewritten(block, number, code, f"{text}, which was False by default") if value == "False" else Diagnosis(text)
    )


def _not_laid_out(block: Block, number: int, raised: Raised) -> Diagnosis | None:
    found = re.match(r"(\w+) does not support `device_map='\w+'`", raised.message)
    if raised.type != "ValueError" or found is None:
        return None
    text = f"this version cannot lay out {found[1]} over devices: without device_map it is loaded on the CPU"
    return _left_out(block, number, "device_map", text)


def _no_such_attention(block: Block, number: int, raised: Raised) -> Diagnosis | None:
    found = re.match(r"(\w+) does not support an attention implementation through torch", raised.message)
    if raised.type != "ValueError" or found is None:
        return None
    text = f"in this version {found[1]} has no sdpa attention: without attn_implementation it takes its own"
    return _left_out(block, number, "attn_implementation", text)


def _jax_cannot_index_sparse_arrays(block: Block, number: int, raised: Raised) -> Diagnosis | None:
    if raised.type != "NotImplementedError" or not raised.message.startswith("bcoo_"):
        return None
    # Another setting would run, but specify another text than the documented one, so it is not a correction.
    return Diagnosis(
        "the checkpoint's config asks for no_repeat_ngram_size, for which Flax's generate() indexes a sparse array as "
        "this version of jax cannot: with no_repeat_ngram_size=0 it runs, and another text may come"
    )


def _flax_has_no_parts(block: Block, number: int, raised: Raised) -> Diagnosis | None:
    found = re.match(r"'Flax\w*EncoderDecoderModel' object has no attribute '(encoder|decoder)'", raised.message)
    if raised.type != "AttributeError" or found is None:
        return None
    wrong, right = f".{found[1]}.config.", f".config.{found[1]}."
    mended = replace(
        block, statements=tuple(replace(each, code=each.code.replace(wrong, right)) for each in block.statements)
    )
    text = f"a Flax model has no {found[1]} of its own; its config holds the {found[1]}'s"
    return Diagnosis(text, mended.statements[number].code.strip(), mended)


def _wrong_auto_class(block: Block, number: int, raised: Raised) -> Diagnosis | None:
    pattern = r"Unrecognized configuration class .*EncoderDecoderConfig.* for this kind of AutoModel: (\w+)"
    found = re.match(pattern, raised.message)
    if found is None:
        return None
    text = f"{found[1]} does not take an encoder-decoder; AutoModelForSeq2SeqLM does"
    statements = tuple(
        replace(each, code=each.code.replace(found[1], "AutoModelForSeq2SeqLM")) for each in block.statements
    )
    return Diagnosis(text, statements[number].code.strip(), replace(block, statements=statements))


def _replaced(block: Block, number: int, wrong: str, right: str, text: str) -> Diagnosis:
    """A diagnosis whose correction replaces one word of the statement that raised."""
    return _rewritten(block, number, block.statements[number].code.replace(wrong, right), text)


def _given(block: Block, number: int, argument: str, text: str, call: str = "generate") -> Diagnosis:
    """A diagnosis whose correction adds an argument to the call that raised."""
    return _rewritten(block, number, with_argument(block.statements[number].code, call, argument), text)


def _left_out(block: Block, number: int, argument: str, text: str) -> Diagnosis:
    """A diagnosis whose correction removes an argument from the call that raised."""
    return _rewritten(block, number, without_argument(block.statements[number].code, argument)[0], text)


def _rewritten(block: Block, number: int, code: str, text: str) -> Diagnosis:
    """A diagnosis whose correction replaces the code of the statement that raised; empty code: there is no
    correction."""
    return Diagnosis(text, code.strip(), changed(block, number, code)) if code else Diagnosis(text)


def _library_is_missing(block: Block, number: int, raised: Raised) -> Diagnosis | None:
    found = re.match(r"No module named '(\w+)", raised.message)
    if raised.type == "ModuleNotFoundError" and found:
        return Diagnosis(f"the example needs {found[1]}, which this stack does not have")
    found = re.search(r"requires? (?:the )?`?(\w+)`?(?: library)? but it was not found", raised.message)
    found = found or re.search(r"requires `(\w+)`", raised.message)
    return Diagnosis(f"the example needs {found[1]}, which this stack does not have") if found else None


RULES: tuple[Rule, ...] = (
    _name_never_imported,
    _prompt_inside_a_string,
    _class_is_gone,
    _setting_of_generation,
    _start_token_not_saved,
    _minimum_above_maximum,
    _model_without_weights,
    _field_of_another_output,
    _tf_reads_no_torch_file,
    _no_such_field,
    _not_laid_out,
    _no_such_attention,
    _jax_cannot_index_sparse_arrays,
    _flax_has_no_parts,
    _wrong_auto_class,
    _library_is_missing,
)
