"""A config class that behaves as documented, with one mutant applied (``parity.backends.mutants.config``).

The references have no such class: ``reference.config`` reads only fields that affect the computation. This class
follows ``configs.toml``, as the documented claims do, so that it passes all of them without a mutant.
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
    """The documented config class of a model class, with a mutant applied."""

    def setup(self, *, threads: int, device: str, cache: Path) -> None:
        """Does nothing: no setup is needed."""

    def load(
        self, checkpoint: Path, variant: Variant, *, device: str, dtype: str, model_class: str
    ) -> MutantConfigFile:
        return MutantConfigFile(checkpoint, config_class(model_class), variant.mutant)


class MutantConfigFile:
    """One config, read again for each request."""

    def __init__(self, checkpoint: Path, named: str, mutant: str) -> None:
        self._checkpoint, self.class_name, self._mutant = checkpoint, named, mutant

    def configuration(
        self, fields: Iterable[str], common: Iterable[str], halves: Mapping[str, list[str]]
    ) -> dict[str, Any]:
        """As in ``hf_config``; raises KeyError if there is no mutant of that name."""
        named, wanted = self.class_name, [*fields, *common]
        with applied(self._mutant):
            config = read(named, files.configuration(self._checkpoint)["raw"])
            saved, text = read(named, to_save(config)), read(named, json.loads(json.dumps(config)))
            ways = {"read": config, "saved": saved, "json": text}
            return {
                "class": named,
                "arguments": [[name, default, True] for name, default in arguments(named).items()],
                "without_arguments": without_arguments(named, wanted),
                **{way: _parts(found, wanted, halves) for way, found in ways.items()},
                **({"joined": joined()} if halves else {}),
            }


def arguments(named: str) -> Fields:
    """The constructor's arguments in order, with their defaults."""
    return dict(documented_configs()[named]["arguments"])


def read(named: str, given: Fields) -> Fields:
    """Attributes: the given values, else the defaults; then the common names of some of them."""
    config = {**arguments(named), **given}
    if "id2label" in given and "num_labels" not in given:
        config["num_labels"] = len(given["id2label"])
    return {**config, **{name: config[meant] for name, meant in common_names(named).items()}}


def common_names(named: str) -> dict[str, str]:
    """The common attributes of all configs, and the fields of this architecture that they are aliases of."""
    return documented_configs()[named]["common"]


def without_arguments(named: str, wanted: Iterable[str]) -> Fields:
    """Attributes after construction without arguments, which a composition refuses."""
    if documented_configs()[named].get("halves"):
        return {"raised": "ValueError"}
    return {"own": _attributes(read(named, {}), wanted)}


def to_save(config: Fields) -> Fields:
    """The content of a config that is saved."""
    return json.loads(json.dumps(config))


def joined() -> Fields:
    """The composition of two configs that were not created as halves."""
    return {"encoder": dict.fromkeys(FLAGS, False), "decoder": dict.fromkeys(FLAGS, True)}


def _parts(config: Fields, wanted: Iterable[str], halves: Mapping[str, Iterable[str]]) -> Fields:
    found = {half: _attributes(config[half], ("model_type", *names)) for half, names in halves.items()}
    return {"own": _attributes(config, wanted), **found}


def _attributes(config: Fields, names: Iterable[str]) -> Fields:
    return {name: config[name] for name in names if name in config}
