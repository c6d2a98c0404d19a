"""``parity gate``: what changed between a report and the baseline, from reports alone."""
