"""CTranslate2 4.8.5: the score of a text is not the sum of its log-probabilities where EOS was forbidden."""

import sys
import tempfile

import ctranslate2
from ctranslate2.converters import TransformersConverter
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast

sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "normalize_before": False}
words = {"bos_token": "t0", "pad_token": "t1", "eos_token": "t2", "unk_token": "t3"}
model = BartForConditionalGeneration(BartConfig(vocab_size=50, **sizes))
model.final_logits_bias[0, 2] = 5  # EOS is likely
with tempfile.TemporaryDirectory() as place:
    model.save_pretrained(place)
    tokenizer = Tokenizer(WordLevel({f"t{index}": index for index in range(50)}, "t3"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **words).save_pretrained(place)
    engine = ctranslate2.Translator(TransformersConverter(place).convert(f"{place}/files"))
lengths = {"beam_size": 2, "min_decoding_length": 4, "max_decoding_length": 5}
text = engine.translate_batch([["t5", "t2"]], return_scores=True, length_penalty=0, return_end_token=True, **lengths)[0]
scored = sum(engine.score_batch([["t5", "t2"]], text.hypotheses)[0].log_probs[: len(text.hypotheses[0])])
print(f"score {text.scores[0]:.4f}, sum of log-probabilities {scored:.4f}")
sys.exit(abs(text.scores[0] - scored) > 1e-3)
