"""Reads one tokenizer with the library ``tokenizers`` and responds line by line: a script that runs as a subprocess.

Arguments: ``serialised FILE`` or ``byte-level VOCAB MERGES``. The first output line reports whether the tokenizer could
be read; then each input line is one request, with one line as the response. It imports none of our modules.
"""

from __future__ import annotations

import json
import resource
import sys

MEMORY, SECONDS = 4 << 30, 300
"""Limits of the process: address space in bytes, and processor time."""


def main() -> None:
    for what, limit in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_CORE, 0)):
        highest = resource.getrlimit(what)[1]
        resource.setrlimit(what, (limit if highest == resource.RLIM_INFINITY else min(limit, highest), highest))
    try:
        answer = _reader(sys.argv[1], sys.argv[2:])
    except ImportError as error:
        _send({"missing": str(error)})
        return
    # The library raises bare Exception for an unreadable file, and a BaseException when it panics.
    except BaseException as error:
        _send({"error": str(error)[:500] or type(error).__name__})
        return
    _send({"ready": True})
    for line in sys.stdin:
        try:
            _send({"answer": answer(json.loads(line))})
        except BaseException as error:
            _send({"error": str(error)[:500] or type(error).__name__})


def _send(what: dict) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _reader(kind: str, files: list[str]):
    import tokenizers

    if kind == "serialised":
        found = tokenizers.Tokenizer.from_file(files[0])
        # A file may configure truncation and padding; both are switched off.
        found.no_padding()
        found.no_truncation()
    else:
        found = tokenizers.ByteLevelBPETokenizer.from_file(*files, add_prefix_space=False)
        known = found.get_vocab()
        special = [tokenizers.AddedToken(t, lstrip=t == "<mask>") for t in ("<s>", "</s>", "<pad>", "<unk>", "<mask>")]
        found.add_special_tokens([token for token in special if token.content in known])

    def answer(request: dict):
        if "text" in request:
            return found.encode(request["text"], request.get("pair")).ids
        tokens = request["tokens"]
        return [found.decode(tokens), [found.decode([token], False) for token in tokens]]

    return answer


if __name__ == "__main__":
    main()
