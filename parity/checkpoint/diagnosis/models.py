"""Which models are supported, and the nearest supported one for others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parity.checkpoint.diagnosis.reading import word
from parity.core.model_spec import HEADS
from parity.core.records import Notice
from reference.config.composed import DECODERS, ENCODERS

_TEXT, _SPEECH = (", ".join(ENCODERS[kind]) for kind in ("encoder-decoder", "speech-encoder-decoder"))
AUDITED = (
    f"audited are BART ({', '.join(name for name in HEADS if name.startswith('Bart'))}) and compositions: "
    f"EncoderDecoderModel (encoder {_TEXT}) and SpeechEncoderDecoderModel (encoder {_SPEECH}), "
    f"each with the decoder {', '.join(DECODERS)}"
)
"""The supported models in one line."""

_ALONE = {
    "mbart": "mBART is audited as the decoder of a composition, not by itself",
    "bert": "BERT is audited as a half of a composition, not by itself",
    "roberta": "RoBERTa is audited as a half of a composition, not by itself",
    "bert-generation": "bert-generation is audited as a half of a composition, not by itself",
    "gpt2": "GPT-2 is audited as the decoder of a composition, not by itself",
    "wav2vec2": "wav2vec 2.0 is audited as the encoder of a composition, not by itself",
    "hubert": "HuBERT is audited as the encoder of a composition, not by itself",
}
_NEAREST = {
    "t5": "T5 has relative positions and another normalisation; nothing here is near it",
    "mt5": "mT5 has relative positions and another normalisation; nothing here is near it",
    "umt5": "umT5 has relative positions and another normalisation; nothing here is near it",
    "longt5": "LongT5 has relative positions and local attention; nothing here is near it",
    "pegasus": "nearest is BART, but Pegasus has sinusoidal positions and normalises before each part",
    "pegasus_x": "nearest is BART, but Pegasus-X has sinusoidal positions and block-local attention",
    "bigbird_pegasus": "nearest is BART, but BigBird-Pegasus has block-sparse attention",
    "marian": "nearest is BART, but Marian has sinusoidal positions and no normalised embedding",
    "blenderbot": "nearest is mBART (audited as the decoder of a composition), which normalises before each part too",
    "blenderbot-small": "nearest is BART, whose layers Blenderbot-Small shares, under other names",
    "led": "nearest is BART, whose decoder LED shares; its encoder has sliding-window attention",
    "m2m_100": "nearest is mBART (audited as the decoder of a composition), but M2M100 has sinusoidal positions",
    "nllb-moe": "nearest is mBART (audited as the decoder of a composition), but NLLB-MoE has experts",
    "plbart": "nearest is BART, whose layers PLBart shares; it shifts labels as mBART does",
    "mvp": "nearest is BART, whose layers MVP shares; it has prompts besides",
    "xlm-roberta": "nearest is roberta, whose layers XLM-RoBERTa shares",
    "camembert": "nearest is roberta, whose layers CamemBERT shares",
    "distilbert": "nearest is bert",
    "electra": "nearest is bert",
    "vision-encoder-decoder": "compositions are audited whose encoder reads text or audio",
    "whisper": "nearest is a speech composition (wav2vec2 or hubert); Whisper's encoder reads spectrograms",
    "speech_to_text": "nearest is a speech composition (wav2vec2 or hubert); this encoder reads spectrograms",
}


def refusal(raw: Mapping[str, Any]) -> Notice | None:
    """Why the model of this ``config.json`` is not supported, and which models are; None if it is."""
    kind = word(raw.get("model_type"))
    if kind in ENCODERS:
        return _of_a_half(raw, kind)
    if not kind or kind == "bart":
        return None
    near = _ALONE.get(kind) or _NEAREST.get(kind, "")
    return Notice(
        id="unsupported-model",
        cause=f"model_type {kind!r} is not audited" + (f": {near}" if near else ""),
        advice=AUDITED,
    )


def _of_a_half(raw: Mapping[str, Any], kind: str) -> Notice | None:
    for half, known in (("encoder", ENCODERS[kind]), ("decoder", DECODERS)):
        content = raw.get(half)
        model_type = word(content.get("model_type")) if isinstance(content, Mapping) else ""
        if model_type and model_type not in known:
            near = f" ({_NEAREST[model_type]})" if model_type in _NEAREST else ""
            return Notice(
                id="unsupported-model",
                cause=f"the {half} is of model_type {model_type!r}, which is not audited as one{near}",
                advice=AUDITED,
            )
    return None
