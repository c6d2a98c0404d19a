"""The 256 characters that stand for bytes in the vocabulary's files (Radford et al. 2019, section 2.2)."""

from __future__ import annotations

from itertools import count


def _alphabet() -> tuple[str, ...]:
    """Printable bytes of Latin-1 stand for themselves; the others, in order, for U+0100 and what follows."""
    spare = count(0x100)
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    return tuple(chr(byte if byte in printable else next(spare)) for byte in range(256))


ALPHABET = _alphabet()
SPACE = ALPHABET[0x20]
_BYTES = {char: byte for byte, char in enumerate(ALPHABET)}


def spelled(text: str) -> str:
    """A text as the vocabulary spells it, a character for each byte of its UTF-8 form."""
    return "".join([ALPHABET[byte] for byte in text.encode()])


def bytes_of(token: str) -> bytes:
    """The bytes a token stands for; its own in UTF-8 where one of its characters stands for none."""
    try:
        return bytes([_BYTES[char] for char in token])
    except KeyError:
        return token.encode()
