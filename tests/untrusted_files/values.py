"""Values that are in the wrong place: what a stranger may put wherever a file has one."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

TEXTS = (
    "",
    " ",
    "\x00",
    "a\nb",
    "\x1b[31m",
    "::error::x",
    "\ud800",
    "<b>&",
    "é" * 50,
    "x" * 10_000,
    "../../etc/passwd",
    "gelu",
    "bart",
    "None",
    "0",
    "1" * 30,
    "∞",
    "-1",
    "NaN",
    "<s>",
    "</s>",
    "_orig_mod.",
)
NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    7,
    127,
    2**31 - 1,
    2**31,
    2**32,
    2**53 + 1,
    2**63,
    2**64,
    10**12,
    10**30,
    10**99,
    -(10**20),
    1.5,
    -0.0,
    1e308,
    5e-324,
    float("nan"),
    float("inf"),
    True,
    False,
    None,
)


def nested(depth: int, kind: str = "list") -> Any:
    """Lists or objects in each other."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind == "list" else {"a": value}
    return value


def wrong(draw: random.Random) -> Any:
    """A value of any kind."""
    kind = draw.randrange(10)
    if kind < 4:
        return draw.choice(NUMBERS)
    if kind < 6:
        return draw.choice(TEXTS)
    if kind == 6:
        return [wrong(draw) for _ in range(draw.randrange(4))]
    if kind == 7:
        return {draw.choice(TEXTS): wrong(draw) for _ in range(draw.randrange(4))}
    if kind == 8:
        return nested(draw.choice((2, 10, 64, 65, 200)), draw.choice(("list", "object")))
    return [draw.choice(NUMBERS)] * draw.choice((1, 33, 1000))


def altered(data: Any, draw: random.Random, times: int | None = None) -> Any:
    """A copy with a few of its values, at any depth, exchanged, taken out, doubled or put elsewhere."""
    data = copy.deepcopy(data)
    for _ in range(times or draw.choice((1, 1, 1, 2, 3))):
        place = data
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw.choice(keys)
            if isinstance(place[key], dict | list) and place[key] and draw.random() < 0.7:
                place = place[key]
                continue
            _alter(place, key, draw)
            break
    return data


def _alter(place: Any, key: Any, draw: random.Random) -> None:
    does = draw.randrange(6)
    if does == 0:
        del place[key]
    elif does == 1 and isinstance(place, dict):
        place[draw.choice(TEXTS)] = place.pop(key)
    elif does == 2 and isinstance(place, list):
        place.insert(key, copy.deepcopy(place[draw.randrange(len(place))]))
    elif does == 3:
        place[key] = [place[key]] if draw.random() < 0.5 else {"a": place[key]}
    else:
        place[key] = wrong(draw)


def written(data: Any, draw: random.Random) -> bytes:
    """As JSON, now and then damaged in the text: cut, a key twice, constants, endless digits, another encoding."""
    text = json.dumps(data, ensure_ascii=draw.random() < 0.8, indent=draw.choice((None, 1)))
    does = draw.randrange(24)
    if does == 0:
        text = text[: draw.randrange(len(text) + 1)]
    elif does == 1:
        text = text.replace("}", ',"a":1,"a":2}', 1)
    elif does == 2:
        text = text.replace(": 1", ": " + "9" * draw.choice((99, 101, 5000, 100_000)), 1)
    elif does == 3:
        at = draw.randrange(len(text) + 1)
        text = text[:at] + draw.choice('[]{},:"\\\x00٣') + text[at:]
    elif does == 4:
        text = "[" * draw.choice((10, 1000, 100_000)) + text
    elif does == 5:
        return text.encode(draw.choice(("utf-16", "utf-8-sig", "utf-32", "utf-7")), "surrogatepass" if 0 else "replace")
    elif does == 6:
        content = bytearray(text.encode("utf-8", "surrogatepass"))
        for _ in range(draw.choice((1, 5))):
            content[draw.randrange(len(content))] = draw.randrange(256)
        return bytes(content)
    return text.encode("utf-8", "surrogatepass")
