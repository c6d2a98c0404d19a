"""Which checkpoints are saved: by which stack and framework, of which class, in which form, with which settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import cycle
from typing import Any, Literal

Form = Literal["safetensors", "sharded", "bin", "bin-sharded", "h5", "h5-sharded", "msgpack", "msgpack-sharded"]
Ids = Literal["set", "no-eos", "no-start", "no-pad", "none"]

STACKS = ("main", "docs-4.37", "current")
FORMS: dict[tuple[str, str], tuple[Form, ...]] = {
    ("main", "torch"): ("safetensors", "sharded", "bin", "bin-sharded"),
    ("docs-4.37", "torch"): ("safetensors", "bin", "sharded", "bin-sharded"),
    ("current", "torch"): ("safetensors", "sharded"),
    ("main", "tf"): ("h5", "safetensors", "h5-sharded"),
    ("docs-4.37", "tf"): ("h5", "safetensors", "h5-sharded"),
    ("main", "flax"): ("msgpack", "safetensors", "msgpack-sharded"),
    ("docs-4.37", "flax"): ("msgpack", "safetensors", "msgpack-sharded"),
}
"""What each framework's ``save_pretrained`` of each stack can write."""
CLASSES = (
    "BartForConditionalGeneration",
    "BartModel",
    "BartForSequenceClassification",
    "BartForQuestionAnswering",
    "BartForCausalLM",
)
WRITERS = ("BartForConditionalGeneration", "BartForCausalLM")
TEXT = "EncoderDecoderModel"
SPEECH = "SpeechEncoderDecoderModel"
TEXT_PAIRS = (
    ("bert", "bert"),
    ("roberta", "roberta"),
    ("bert-generation", "bert-generation"),
    ("bert", "gpt2"),
    ("bert", "bart"),
    ("roberta", "bert"),
    ("roberta", "gpt2"),
)
SPEECH_PAIRS = (
    ("wav2vec2", "bart"),
    ("wav2vec2", "bert"),
    ("hubert", "mbart"),
    ("hubert", "bert"),
    ("wav2vec2", "mbart"),
    ("hubert", "bart"),
)
OLD_FIELDS: tuple[dict[str, Any], ...] = (
    {
        "force_bos_token_to_be_generated": False,
        "normalize_before": False,
        "normalize_embedding": True,
        "static_position_embeddings": False,
        "add_bias_logits": False,
        "add_final_layer_norm": False,
        "extra_pos_embeddings": 2,
        "classif_dropout": 0.0,
        "prefix": " ",
    },
    {"force_bos_token_to_be_generated": True, "_num_labels": 3, "num_hidden_layers": 2, "output_past": False},
    {
        "task_specific_params": {"summarization": {"num_beams": 4, "max_length": 12, "min_length": 3}},
        "gradient_checkpointing": False,
        "use_cache": True,
        "total_flos": 1.5e12,
    },
)
"""Fields that configs on hubs have had since 2020, at the values that mean what the library computes."""


@dataclass(frozen=True)
class Recipe:
    """One checkpoint.

    Attributes:
        halves: model types of a composition's encoder and decoder.
        spread: weights, biases and norms are drawn anew with visible deviations; else they are as the class makes them.
        resized: rows added to the embeddings by ``resize_token_embeddings``.
        tokenizer: the files of a byte-level tokenizer are saved beside it.
        added: tokens added to that tokenizer, for which the embeddings are resized.
        ids: which special tokens a composition's config names.
        pretrained: a composition is made by ``from_encoder_decoder_pretrained``, from two saved halves.
        generation: settings set before it is saved.
    """

    name: str
    stack: str
    framework: str
    documented: str
    form: Form
    seed: int
    halves: tuple[str, ...] = ()
    dtype: str = "float32"
    tied: bool = True
    spread: bool = True
    resized: int = 0
    tokenizer: bool = False
    added: int = 0
    ids: Ids = "set"
    pretrained: bool = False
    old_fields: dict[str, Any] = field(default_factory=dict)
    generation: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def recipes() -> list[Recipe]:
    """Every recipe, always the same, each under a name of its own."""
    found = []
    for number, fields in enumerate([*_bart(), *_other_frameworks(), *_compositions()]):
        parts = [fields["stack"], fields["framework"], *(fields.get("halves") or [_short(fields["documented"])])]
        parts += [fields["form"], *fields.pop("marks", ())]
        # Every third one is as its class makes it: small weights, biases of zero, norms of one.
        spread = fields.pop("spread", number % 3 != 2)
        found.append(Recipe(name="-".join([f"{number:03}", *parts]), seed=number, spread=spread, **fields))
    return found


def _short(documented: str) -> str:
    return documented.removeprefix("Bart").removeprefix("For").lower()


def _bart() -> Iterator[dict[str, Any]]:
    """BART's five classes by PyTorch, in every stack."""
    for stack in STACKS:
        own = {"stack": stack, "framework": "torch"}
        forms = FORMS[stack, "torch"]
        for documented in CLASSES:
            for form in forms:
                yield {**own, "documented": documented, "form": form, "tokenizer": form == "safetensors"}
        turn = cycle(forms)
        for documented in CLASSES:
            for dtype in ("float16", "bfloat16"):
                yield {**own, "documented": documented, "form": next(turn), "dtype": dtype, "marks": [dtype]}
        for documented in (*WRITERS, "BartModel"):
            yield {**own, "documented": documented, "form": next(turn), "tied": False, "marks": ["untied"]}
        writer = {**own, "documented": WRITERS[0]}
        yield {**writer, "form": next(turn), "tied": False, "dtype": "float16", "marks": ["untied", "float16"]}
        yield {**writer, "form": next(turn), "resized": 5, "marks": ["resized"]}
        yield {**writer, "form": next(turn), "resized": -4, "marks": ["shrunk"]}
        yield {**writer, "form": next(turn), "resized": 3, "tied": False, "marks": ["resized", "untied"]}
        for added in (1, 6):
            yield {**writer, "form": next(turn), "tokenizer": True, "added": added, "marks": [f"added{added}"]}
        for fields, mark in zip(OLD_FIELDS, ("old-positions", "old-force", "old-tasks"), strict=True):
            yield {**writer, "form": next(turn), "old_fields": fields, "marks": [mark]}
        summary = {"num_beams": 3, "max_length": 14, "min_length": 4, "no_repeat_ngram_size": 3, "early_stopping": True}
        yield {**writer, "form": next(turn), "generation": summary, "marks": ["summary"]}
        yield {**writer, "form": next(turn), "generation": {"do_sample": True, "top_k": 7}, "marks": ["drawn"]}


def _other_frameworks() -> Iterator[dict[str, Any]]:
    """BART's classes and a composition by TensorFlow and Flax, where a stack has them."""
    for stack in STACKS[:2]:
        for documented, form in zip(CLASSES[:3], cycle(FORMS[stack, "tf"])):
            yield {"stack": stack, "framework": "tf", "documented": documented, "form": form}
        for form in FORMS[stack, "tf"][1:]:
            yield {"stack": stack, "framework": "tf", "documented": WRITERS[0], "form": form}
        for documented, form in zip(CLASSES, cycle(FORMS[stack, "flax"])):
            yield {"stack": stack, "framework": "flax", "documented": documented, "form": form}
        flax = {"stack": stack, "framework": "flax", "documented": WRITERS[0]}
        yield {**flax, "form": "msgpack", "dtype": "bfloat16", "marks": ["bfloat16"]}
        for framework in ("tf", "flax"):
            form = FORMS[stack, framework][0]
            yield {"stack": stack, "framework": framework, "documented": TEXT, "halves": ("bert", "bert"), "form": form}


def _compositions() -> Iterator[dict[str, Any]]:
    """Compositions by PyTorch: as documented, with ids left out, in other dtypes and forms."""
    for stack in STACKS:
        turn = cycle(FORMS[stack, "torch"])
        own = {"stack": stack, "framework": "torch", "documented": TEXT}
        for number, halves in enumerate(TEXT_PAIRS):
            yield {**own, "halves": halves, "form": next(turn), "pretrained": number % 2 == 0}
        for ids in ("no-eos", "no-start", "no-pad", "none"):
            yield {
                **own,
                "halves": ("bert", "bert"),
                "form": next(turn),
                "ids": ids,
                "pretrained": True,
                "marks": [ids],
            }
        yield {**own, "halves": ("bert", "gpt2"), "form": next(turn), "ids": "no-pad", "marks": ["no-pad"]}
        yield {**own, "halves": ("bert", "bert"), "form": next(turn), "dtype": "float16", "marks": ["float16"]}
        yield {**own, "halves": ("roberta", "roberta"), "form": next(turn), "dtype": "bfloat16", "marks": ["bfloat16"]}
        yield {**own, "halves": ("bert", "bert"), "form": next(turn), "tied": False, "marks": ["untied"]}
        speech = {**own, "documented": SPEECH}
        for number, halves in enumerate(SPEECH_PAIRS):
            yield {**speech, "halves": halves, "form": next(turn), "pretrained": number % 2 == 1}
        yield {**speech, "halves": ("wav2vec2", "bart"), "form": next(turn), "ids": "none", "marks": ["none"]}
