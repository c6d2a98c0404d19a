"""A config class that does what the pages say, with one fault put in (``parity.backends.mutants.config``).

No reference has one: ``reference.config`` reads what a model is computed with. This one follows ``configs.toml``, as
the claims do, so that without a fault it passes them all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from parity.backends.mutants import applied
from parity.backends.reference import files
from parity.cases.files import documented_configs
from parity.core.model_spec import config_class
from parity.core.subject import Variant

FLAGS = ("is_decoder", "add_cross_attention")
Fields = dict[str, Any]


class MutantConfig:
    """The documented config class of a model class, altered."""

    def setup(self, *, threads: int, device: str, cache: Path) -> None:
        """Nothing to set up."""

    def load(
        self, checkpoint: Path, variant: Variant, *, device: str, dtype: str, model_class: str
    ) -> MutantConfigFile:
        return MutantConfigFile(checkpoint, config_class(model_class), variant.mutant)


class MutantConfigFile:
    """One config, read anew for each question."""

    def __init__(self, checkpoint: Path, named: str, mutant: str) -> None:
        self._checkpoint, self.class_name, self._mutant = checkpoint, named, mutant

    def configuration(
        self, fields: Iterable[str], common: Iterable[str], halves: Mapping[str, list[str]]
    ) -> dict[str, Any]:
        """As ``hf_config`` has it; raises KeyError where no mutant is called so."""
        named, wanted = self.class_name, [*fields, *common]
        with applied(self._mutant):
            config = read(named, files.configuration(self._checkpoint)["raw"])
            saved, text = read(named, to_save(config)), read(named, json.loads(json.dumps(config)))
            ways = {"read": config, "saved": saved, "json": text}
            return {
                "class": named,
                "arguments": [[name, default, True] for name, default in arguments(named).items()],
                "bare": bare(named, wanted),
                **{way: _parts(found, wanted, halves) for way, found in ways.items()},
                **({"joined": joined()} if halves else {}),
            }


def arguments(named: str) -> Fields:
    """The constructor's arguments in order, with their defaults."""
    return dict(documented_configs()[named]["arguments"])


def read(named: str, given: Fields) -> Fields:
    """Attributes: what is given, else the defaults; then the common names for some of them."""
    config = {**arguments(named), **given}
    if "id2label" in given and "num_labels" not in given:
        config["num_labels"] = len(given["id2label"])
    return {**config, **{name: config[meant] for name, meant in common_names(named).items()}}


def common_names(named: str) -> dict[str, str]:
    """What every model's config has, by the field of this family that it means."""
    return documented_configs()[named]["common"]


def bare(named: str, wanted: Iterable[str]) -> Fields:
    """What the constructor gives without arguments; a composition of nothing is refused."""
    if documented_configs()[named].get("halves"):
        return {"raised": "ValueError"}
    return {"own": _attributes(read(named, {}), wanted)}


def to_save(config: Fields) -> Fields:
    """What a save writes of a config."""
    return json.loads(json.dumps(config))


def joined() -> Fields:
    """Two configs that say nothing of being halves, made into one."""
    return {"encoder": dict.fromkeys(FLAGS, False), "decoder": dict.fromkeys(FLAGS, True)}


def _parts(config: Fields, wanted: Iterable[str], halves: Mapping[str, Iterable[str]]) -> Fields:
    found = {half: _attributes(config[half], ("model_type", *names)) for half, names in halves.items()}
    return {"own": _attributes(config, wanted), **found}


def _attributes(config: Fields, names: Iterable[str]) -> Fields:
    return {name: config[name] for name in names if name in config}
