"""The JSON Schema of ``report.json``, published as ``parity/report.schema.json``."""

from __future__ import annotations

import json

from parity.records import SCHEMA_VERSION, Report
from parity.resources import data


def report_schema_text() -> str:
    """The schema as it is written to the file: JSON Schema 2020-12, indented, keys as the report spells them."""
    schema = Report.model_json_schema(by_alias=True, mode="serialization")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"parity report {SCHEMA_VERSION}"}
    return json.dumps({**head, **{key: value for key, value in schema.items() if key != "title"}}, indent=1) + "\n"


if __name__ == "__main__":
    data("report.schema.json").write_text(report_schema_text(), encoding="utf-8")
