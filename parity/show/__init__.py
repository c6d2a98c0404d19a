"""What people see: progress while a run works, the matrix, a block for each failure, what it cost.

It reads reports and nothing else; no verdict is made here.
"""

from parity.show.progress import Progress
from parity.show.report import show_report
from parity.show.stored import clean_cache, show_cache

__all__ = ["Progress", "clean_cache", "show_cache", "show_report"]
