"""A stored report in the forms that other tools read: JUnit XML, JSON Lines, GitHub's step summary and annotations.

They are made of a report, not of an audit, so that one command serves runs of today, of another machine and of a year
ago, and an audit needs no more options.
"""

from parity.report.export.github import annotation_lines, joined, summary
from parity.report.export.jsonl import jsonl
from parity.report.export.junit import junit
from parity.report.export.writing import append, write

__all__ = ["annotation_lines", "append", "joined", "jsonl", "junit", "summary", "write"]
