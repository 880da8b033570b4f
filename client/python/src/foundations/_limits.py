"""What a run may hold. Whoever reads the spool keeps the same limits; here their breach is told to whoever logs."""

from __future__ import annotations

KEY = 250
"""Bytes of a key."""
METRIC_TEXT = 1000
"""Bytes of a text that is a metric's value; what is longer is cut."""
TEXT = 1000
"""Bytes of a tag's value, or of a run's name."""
PARAM = 16 * 1024
"""Bytes of a parameter's value as JSON."""
PARAMS_BYTES = 8 * 1024 * 1024
"""Bytes of all parameters' values as JSON: all that a run may hold beside its points."""
DIGITS = 1000
"""Digits of an integer."""
DEPTH = 32
"""How deep lists and maps may lie in one another."""

METRICS = 10_000
PARAMS = 5_000
TAGS = 500
ARTIFACTS = 10_000
"""Each version counts."""
POINTS = 10_000_000
"""Of one metric and rank."""

FACTS = 60 * 1024
"""Bytes of what is told about the process, so that it fits into one line."""
