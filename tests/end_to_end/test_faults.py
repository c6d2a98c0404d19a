"""Ten faults put into copies of the installed library: each makes the audit fail and is named where it was made."""

from __future__ import annotations

import re
import textwrap

import pytest

from parity.core.records import Report, Verdict
from parity.core.resources import fixture
from tests.end_to_end.conftest import audited_once
from tests.end_to_end.shadow import shadow_transformers, stacks_of_copies

pytestmark = pytest.mark.full

MODULE = "models/bart/modeling_bart.py"


def after_init(name: str, body: str) -> str:
    """Code that runs ``body`` at the end of a class's ``__init__``."""
    return f"""
def _wrap(original):
    def __init__(self, *args, **kwargs):
        original(self, *args, **kwargs)
        {body}
    return __init__
{name}.__init__ = _wrap({name}.__init__)
"""


FLIP = """
def _wrap(original):
    def from_pretrained(cls, *args, **kwargs):
        loaded = original(cls, *args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        model.model.decoder.layers[1].fc1.weight.data.view(torch.int32)[3, 5] ^= 1
        return loaded
    return classmethod(from_pretrained)
BartForConditionalGeneration.from_pretrained = _wrap(BartForConditionalGeneration.from_pretrained.__func__)
"""

DROP_BIAS = """
def _wrap(original):
    def forward(self, *args, **kwargs):
        self.final_logits_bias = torch.zeros_like(self.final_logits_bias)
        return original(self, *args, **kwargs)
    return forward
BartForConditionalGeneration.forward = _wrap(BartForConditionalGeneration.forward)
"""

POLARITY = """
def _wrap(original):
    def forward(self, input_ids=None, attention_mask=None, **kwargs):
        return original(self, input_ids, 1 - attention_mask if attention_mask is not None else None, **kwargs)
    return forward
BartEncoder.forward = _wrap(BartEncoder.forward)
"""

ONE_ROW = """if kwargs.get("layer_idx") == 1:
            row = torch.ones(kwargs["config"].d_model if "config" in kwargs else args[0].d_model)
            row[3] = 1.01
            self.fc2.register_forward_hook(lambda module, inputs, output: output * row)"""

FAULTS = {
    "position offset": (after_init("BartLearnedPositionalEmbedding", "self.offset = 1"), "NUM01", "encoder.hidden.0"),
    "embedding scale": (after_init("BartScaledWordEmbedding", "self.embed_scale = 1.0"), "NUM01", "encoder.hidden.0"),
    "unshifted labels": (
        "def shift_tokens_right(ids, pad, start):\n    return ids.masked_fill(ids == -100, pad)\n",
        "SHIFT01",
        "decoder.hidden.0",
    ),
    "mask polarity": (POLARITY, "NUM01", "encoder.attention.0"),
    "LayerNorm epsilon 1e-12": (
        after_init("BartEncoderLayer", "self.final_layer_norm.eps = 1e-12"),
        "NUM01",
        "encoder.hidden.1",
    ),
    "dropped final_logits_bias": (DROP_BIAS, "NUM04", "logits"),
    "tanh gelu": (
        after_init("BartDecoderLayer", "self.activation_fn = nn.GELU(approximate='tanh')"),
        "NUM01",
        "decoder.hidden.1",
    ),
    "unscaled attention": (after_init("BartAttention", "self.scaling = 1.0"), "NUM02", "encoder.attention.0"),
    "one weight bit": (FLIP, "LOAD01", "model.decoder.layers.1.fc1.weight"),
    "one row of one layer wrong by 1 %": (after_init("BartDecoderLayer", ONE_ROW), "NUM01", "decoder.hidden.2"),
}


UNEDITED = "unedited"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """One audit of the library, of its edited copies, and of one that is only copied: a stack each."""
    codes = {stack(fault): textwrap.dedent(FAULTS[fault][0]) for fault in FAULTS} | {UNEDITED: ""}
    stacks = stacks_of_copies(
        tmp_path_factory.mktemp("copies"),
        lambda name, folder: shadow_transformers(folder, MODULE, codes[name]),
        codes,
    )
    options = ("--backend", "hf-torch/eager", *stacks)
    _, found = audited_once(tmp_path_factory, "faults", [fixture("bart-odd")], *options, code=1)
    return found


def stack(fault: str) -> str:
    """A name for the stack of a fault, of letters and hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", fault).strip("-")


def verdicts(report: Report, name: str, status: str) -> list[Verdict]:
    return [each for each in report.verdicts if (each.stack, each.status) == (name, status)]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_library_fails_the_audit_and_is_named(report, fault):
    _, check, tensor = FAULTS[fault]
    assert not verdicts(report, stack(fault), "error")
    failed = verdicts(report, stack(fault), "fail")
    first = {verdict.first_divergence.tensor for verdict in failed if verdict.check == check}
    assert first == {tensor}


@pytest.mark.parametrize("name", ["main", UNEDITED])
def test_what_is_caught_is_the_fault_and_not_the_copying(report, name):
    assert not verdicts(report, name, "fail") and not verdicts(report, name, "error")
    assert len(verdicts(report, name, "pass")) > 100
