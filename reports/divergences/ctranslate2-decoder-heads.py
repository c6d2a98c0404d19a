"""CTranslate2 4.8.5: the converter gives the decoder of a BART checkpoint the encoder's number of attention heads."""

import struct
import sys
import tempfile
from pathlib import Path

from ctranslate2.converters import TransformersConverter
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast

sizes = {"d_model": 12, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 4}
words = {"bos_token": "t0", "pad_token": "t1", "eos_token": "t2", "unk_token": "t3"}
with tempfile.TemporaryDirectory() as place:
    checkpoint, files = f"{place}/checkpoint", Path(place) / "files"
    config = BartConfig(vocab_size=50, **sizes, **heads, normalize_before=False)
    BartForConditionalGeneration(config).save_pretrained(checkpoint)
    tokenizer = Tokenizer(WordLevel({f"t{index}": index for index in range(50)}, "t3"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **words).save_pretrained(checkpoint)
    TransformersConverter(checkpoint).convert(str(files))
    found = struct.unpack("H", (files / "model.bin").read_bytes().partition(b"decoder/num_heads\0")[2][6:8])[0]
print(f"decoder_attention_heads {heads['decoder_attention_heads']}, converted {found}")
sys.exit(found != heads["decoder_attention_heads"])
