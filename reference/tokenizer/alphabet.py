"""The 256 characters that represent bytes in the vocabulary files (Radford et al. 2019, section 2.2)."""

from __future__ import annotations

from itertools import count


def _alphabet() -> tuple[str, ...]:
    """Printable Latin-1 bytes map to themselves; the others map in order to U+0100 and following characters."""
    spare = count(0x100)
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    return tuple(chr(byte if byte in printable else next(spare)) for byte in range(256))


ALPHABET = _alphabet()
SPACE = ALPHABET[0x20]
_BYTES = {char: byte for byte, char in enumerate(ALPHABET)}


def spelled(text: str) -> str:
    """A text in the vocabulary's alphabet, one character for each byte of its UTF-8 encoding."""
    return "".join([ALPHABET[byte] for byte in text.encode()])


def bytes_of(token: str) -> bytes:
    """The bytes that a token represents; its UTF-8 encoding if one of its characters is not in the alphabet."""
    try:
        return bytes([_BYTES[char] for char in token])
    except KeyError:
        return token.encode()
