"""Puts inputs made by structure to every reader: ``python -m tests.untrusted_files.fuzz --inputs 20000 --seed 1``.

Each is either accepted or refused by one clear line. Anything else is a failure: another exception, a message of
several lines, a process that ends, more time or memory than an input may take. Inputs run by the hundred in forked
processes, whose memory is limited by the operating system; a number and a seed make the same input again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from parity.core.display import printable
from parity.core.errors import InputError
from tests.untrusted_files.subjects import READERS, emptied

SECONDS, MEGABYTES = 10.0, 1000
"""What one input may take: processor time, and memory beside what the process held before."""
BATCH = 200
_LONGEST_MESSAGE = 2000


@dataclass
class Tally:
    """What became of the inputs."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By reader and outcome: ``accepted``, ``refused``, ``failed``."""
    failures: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")
    largest: tuple[float, str] = (0.0, "")
    """Megabytes that the process grew by, and the input."""
    beside: float = 0.0
    """Megabytes that the largest process had that a reader started."""

    def add(self, told: dict) -> None:
        name = f"{told['reader']} {told['number']}"
        self.outcomes[told["reader"], told["outcome"]] += 1
        self.slowest = max(self.slowest, (told["seconds"], name))
        self.largest = max(self.largest, (told["megabytes"], name))
        if told["outcome"] == "failed":
            self.failures.append(f"{name}: {told['why']}")


def run(numbers: Sequence[tuple[str, int]], seed: int) -> Tally:
    """Every input of ``numbers``, a reader and a number each."""
    tally = Tally()
    for start in range(0, len(numbers), BATCH):
        rest = list(numbers[start : start + BATCH])
        while rest:
            told = list(_batch(rest, seed))
            for each in told:
                tally.add(each)
            rest = rest[len(told) :]
    return tally


def _batch(numbers: list[tuple[str, int]], seed: int) -> Iterator[dict]:
    """What a forked process says of its inputs, up to the one that ended it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        status = 1
        try:
            _inside(numbers, seed, writing)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    done = 0
    with os.fdopen(reading, "rb") as lines:
        while True:
            ready, _, _ = select.select([lines], [], [], 4 * SECONDS)
            line = lines.readline() if ready else b""
            if not line:
                break
            done += 1
            yield json.loads(line)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if done < len(numbers):
        reader, number = numbers[done]
        why = f"the process ended or hung (status {status})"
        yield {"reader": reader, "number": number, "outcome": "failed", "why": why, "seconds": 0.0, "megabytes": 0.0}


def _inside(numbers: list[tuple[str, int]], seed: int, writing: int) -> None:
    limit = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + 8 * (MEGABYTES << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGPROF, _too_slow)
    with tempfile.TemporaryDirectory() as folder:
        for reader, number in numbers:
            told = one(reader, number, seed, Path(folder) / "x")
            # Unbuffered, so that what ends the process is the input after the last that was told.
            os.write(writing, json.dumps(told).encode() + b"\n")


def _too_slow(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS} seconds")


def one(name: str, number: int, seed: int, place: Path) -> dict:
    """Makes one input and reads it, in this process."""
    reader, draw = READERS[name], random.Random(f"{seed} {name} {number}")
    try:
        reader.make(emptied(place), draw)
    except Exception:
        # Told, for whoever makes inputs: a process that ends says nothing.
        made = {"reader": name, "number": number, "outcome": "failed", "seconds": 0.0, "megabytes": 0.0}
        return {**made, "why": f"it cannot be made: {traceback.format_exc(limit=-3)}"}
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, _processor_time()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    outcome, why = "accepted", ""
    try:
        reader.read(place)
    except InputError as error:
        outcome, why = "refused", _bad_message(str(error))
    except BaseException:
        why = traceback.format_exc(limit=-4)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    seconds = _processor_time() - began
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if megabytes > MEGABYTES:
        why = f"{megabytes:.0f} MB"
    if seconds > SECONDS:
        why = f"{seconds:.0f} seconds"
    if why:
        outcome = "failed"
    return {
        "reader": name,
        "number": number,
        "outcome": outcome,
        "why": why,
        "seconds": seconds,
        "megabytes": megabytes,
    }


def _processor_time() -> float:
    """Of this process and of those it started, that of the HDF5 reader among them, which lives on."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    alive = 0
    for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        # utime, stime, cutime, cstime: proc(5), after the name in brackets.
        alive += sum(map(int, Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return time.process_time() + ended.ru_utime + ended.ru_stime + alive / os.sysconf("SC_CLK_TCK")


def _bad_message(message: str) -> str:
    """What is wrong with the line that a refusal is; "" where nothing is."""
    if len(message) > _LONGEST_MESSAGE:
        return f"a message of {len(message)} characters"
    if len(message.splitlines()) != 1:
        return f"a message of several lines: {message[:300]!r}"
    return "" if printable(message, _LONGEST_MESSAGE).isprintable() else f"a control character: {message[:300]!r}"


def spread(count: int, names: Sequence[str] = tuple(READERS)) -> list[tuple[str, int]]:
    """So many inputs, the readers in turn."""
    return [(names[number % len(names)], number // len(names)) for number in range(count)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.untrusted_files.fuzz", description="inputs by structure to every reader"
    )
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reader", action="append", choices=sorted(READERS))
    options = parser.parse_args(arguments)
    began = time.monotonic()
    tally = run(spread(options.inputs, options.reader or tuple(READERS)), options.seed)
    print(f"{'reader':12} {'accepted':>9} {'refused':>9} {'failed':>7}")
    for name in options.reader or READERS:
        row = [tally.outcomes[name, outcome] for outcome in ("accepted", "refused", "failed")]
        print(f"{name:12} {row[0]:9,} {row[1]:9,} {row[2]:7,}")
    print(
        f"slowest {tally.slowest[0]:.2f} s ({tally.slowest[1]}), largest {tally.largest[0]:.0f} MB ({tally.largest[1]})"
    )
    print(f"{options.inputs:,} inputs in {time.monotonic() - began:.0f} s, seed {options.seed}")
    # One of each kind: a traceback's last line, without the input's own values.
    kinds = {re.sub(r"\W*[\d']+.*", "", failure.rstrip().rpartition("\n")[2]): failure for failure in tally.failures}
    for failure in list(kinds.values())[:20]:
        print(f"\nFAILED {failure}")
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
