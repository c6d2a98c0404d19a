"""The library's config classes: reading, defaults, and saving."""

from __future__ import annotations

import inspect
import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from parity.backends.hf import common as libraries
from parity.backends.hf.documented import FLAGS, HALVES
from parity.core.model_spec import config_class
from parity.core.subject import Variant


class HfConfig:
    """All documented config classes of the installed transformers."""

    def setup(self, *, threads: int, device: str, cache: Path) -> None:
        """Disables network access; the library is imported on first use."""
        libraries.quiet_offline_environment()

    def load(self, checkpoint: Path, variant: Variant, *, device: str, dtype: str, model_class: str) -> HfConfigFile:
        """``from_pretrained`` of the config class of the documented model class."""
        import transformers

        kind = getattr(transformers, config_class(model_class))
        return HfConfigFile(kind, kind.from_pretrained(checkpoint), checkpoint)


class HfConfigFile:
    """One loaded config."""

    def __init__(self, kind: Any, config: Any, checkpoint: Path) -> None:
        self._kind, self._config, self._checkpoint = kind, config, checkpoint
        self.class_name = type(config).__name__

    def configuration(
        self, fields: Iterable[str], common: Iterable[str], halves: Mapping[str, list[str]]
    ) -> dict[str, Any]:
        """All data for the documented claims about configs, as JSON values.

        Args:
            fields: attributes to look up; absent ones are omitted from the result.
            common: attributes that every config is documented to have.
            halves: for a composition, the attributes of each half.
        """
        wanted = [*fields, *common]
        with tempfile.TemporaryDirectory() as folder:
            self._config.save_pretrained(folder)
            saved = self._kind.from_pretrained(folder)
        from_json = self._kind.from_dict(json.loads(self._config.to_json_string(use_diff=False)))
        return {
            "class": self.class_name,
            "arguments": _arguments(self._kind),
            "without_arguments": _without_arguments(self._kind, wanted),
            "read": self._values(self._config, wanted, halves),
            "saved": self._values(saved, wanted, halves),
            "json": self._values(from_json, wanted, halves),
            **({"joined": self._joined()} if halves else {}),
        }

    def save(self, folder: Path) -> None:
        """Writes ``config.json``, and the generation settings in a file of their own."""
        self._config.save_pretrained(folder)
        _generation_config(self._checkpoint, self._config).save_pretrained(folder)

    def read_saved(
        self, folder: Path, fields: Iterable[str], common: Iterable[str], halves: Mapping[str, list[str]]
    ) -> dict[str, Any]:
        """The values that this version reads in the checkpoint (``before``), and in saved files of it (``after``).

        Args:
            folder: the saved files.
            fields, common, halves: as for ``configuration``.
        """
        wanted, found = [*fields, *common], {}
        saved = self._kind.from_pretrained(folder)
        for when, directory, config in (("before", self._checkpoint, self._config), ("after", folder, saved)):
            settings = libraries.supported_settings(_generation_config(directory, config))
            found[when] = {**self._values(config, wanted, halves), "generation": settings}
        return found

    def _values(self, config: Any, wanted: list[str], halves: Mapping[str, list[str]]) -> dict[str, Any]:
        found = {"own": _attributes(config, wanted)}
        for half, names in halves.items():
            part = getattr(config, half)
            found[half] = {"model_type": part.model_type, **_attributes(part, names)}
        return found

    def _joined(self) -> dict[str, Any]:
        """The result of ``from_encoder_decoder_configs`` for two configs that were not created as halves."""
        encoder, decoder = (type(getattr(self._config, half))() for half in HALVES)
        joined = self._kind.from_encoder_decoder_configs(encoder, decoder)
        return {half: _attributes(getattr(joined, half), FLAGS) for half in HALVES}


def _generation_config(directory: Path, config: Any) -> Any:
    """The settings of ``generation_config.json``, or without one those of the config."""
    from transformers import GenerationConfig

    if (directory / "generation_config.json").is_file():
        return GenerationConfig.from_pretrained(directory)
    return GenerationConfig.from_model_config(config)


def _arguments(kind: Any) -> list[list[Any]]:
    """The constructor's arguments in order: name, default, whether it can be positional."""
    found = []
    for parameter in list(inspect.signature(kind.__init__).parameters.values())[1:]:
        if parameter.kind is not parameter.VAR_KEYWORD:
            default = None if parameter.default is parameter.empty else parameter.default
            found.append([parameter.name, libraries.plain(default), parameter.kind is parameter.POSITIONAL_OR_KEYWORD])
    return found


def _without_arguments(kind: Any, wanted: list[str]) -> dict[str, Any]:
    """Attributes after construction without arguments, or the exception raised."""
    try:
        return {"own": _attributes(kind(), wanted)}
    except Exception as error:  # a check compares it with the documentation
        return {"raised": type(error).__name__}


def _attributes(config: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: libraries.plain(getattr(config, name)) for name in names if hasattr(config, name)}
