"""The JSON Schemas of what runs write: ``report.json`` and ``documented.json``, published beside this file."""

from __future__ import annotations

import json

from pydantic import BaseModel

from parity.core.records import SCHEMA_VERSION, Report
from parity.core.resources import data
from parity.tools.examples.results import SCHEMA_VERSION as DOCS_VERSION
from parity.tools.examples.results import DocsReport


def report_schema_text() -> str:
    """The schema of ``report.json`` as ``report.schema.json`` has it."""
    return _text(Report, f"parity report {SCHEMA_VERSION}")


def documented_schema_text() -> str:
    """The schema of ``documented.json`` as ``documented.schema.json`` has it."""
    return _text(DocsReport, f"parity documented examples {DOCS_VERSION}")


def _text(record: type[BaseModel], title: str) -> str:
    """JSON Schema 2020-12, indented, keys as the record spells them."""
    schema = record.model_json_schema(by_alias=True, mode="serialization")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return json.dumps({**head, **{key: value for key, value in schema.items() if key != "title"}}, indent=1) + "\n"


if __name__ == "__main__":
    data("core/data/report.schema.json").write_text(report_schema_text(), encoding="utf-8")
    data("tools/examples/documented.schema.json").write_text(documented_schema_text(), encoding="utf-8")
