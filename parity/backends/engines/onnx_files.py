"""The ONNX files that are read, and what each set of them offers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from parity.backends.engines.conversion import UnusableFiles

WHOLE = "model.onnx"
ENCODER, DECODER = "encoder_model.onnx", "decoder_model.onnx"
WITH_PAST, MERGED = "decoder_with_past_model.onnx", "decoder_model_merged.onnx"
CLASSES = ("BartForConditionalGeneration", "BartModel")
"""The documented classes that are exported."""


def layout(folder: Path) -> str:
    """``whole`` (our export), ``parts`` (encoder, decoder and perhaps decoder with past) or ``merged`` (encoder, and
    one decoder for both).

    Raises:
        UnusableFiles: it is none of them.
    """
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if WHOLE in names:
        return "whole"
    if ENCODER in names and DECODER in names:
        return "parts"
    if ENCODER in names and MERGED in names:
        return "merged"
    found = ", ".join(sorted(name for name in names if name.endswith(".onnx"))[:5]) or "no .onnx file"
    raise UnusableFiles(
        f"{folder}: neither {WHOLE} nor {ENCODER} with {DECODER} or {MERGED} (there: {found}): not converted files"
    )


def examine(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """For given files: ``setup``, further keywords of the backend's ``setup``, and ``unaccepted`` inputs.

    Raises:
        UnusableFiles: they are no known set.
    """
    kind = layout(folder)
    if kind == "whole":
        return {}
    has_past = kind == "merged" or (folder / WITH_PAST).is_file()
    reason = f"{DECODER if kind == 'parts' else MERGED} has no input decoder_attention_mask"
    return {
        "setup": {"layout": f"{kind}+past" if has_past else kind},
        "unaccepted": {"decoder_attention_mask": reason},
    }
