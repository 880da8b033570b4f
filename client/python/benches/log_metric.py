"""What `log_metric` costs the script that calls it, in microseconds, beside what the system needs for the same line.

Usage: python log_metric.py [CALLS]. Prints one line for each way of calling. The spool lies in the folder for temporary files.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from typing import Callable


def measure(name: str, calls: int, call: Callable[[int], object]) -> None:
    """Prints the median, the 99th percentile and the largest of so many calls."""
    clock = time.perf_counter_ns
    times = []
    for number in range(calls):
        began = clock()
        call(number)
        times.append(clock() - began)
    times.sort()
    median, p99, largest = (it / 1000 for it in (times[calls // 2], times[calls * 99 // 100], times[-1]))
    print("%-28s median %6.2f us   p99 %6.2f us   max %8.0f us" % (name, median, p99, largest))


def main() -> None:
    """Measures in a folder that is removed afterwards."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ATLAS_SPOOL"] = os.path.join(folder, "events")
        import foundations

        print("Python %s, %d calls each, spool in %s" % (platform.python_version(), calls, tempfile.gettempdir()))
        log = foundations.log_metric
        measure("log_metric(key, float, step)", calls, lambda it: log("loss", it * 0.5, step=it))
        measure("log_metric(key, float)", calls, lambda it: log("loss", it * 0.5))
        ten = {"metric %d" % it: it * 0.1 for it in range(10)}
        measure("log_metrics of ten", calls // 10, lambda it: foundations.log_metrics(ten, step=it))
        file = os.open(os.path.join(folder, "bare"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        line = b'{"e":"metric","key":"loss","value":0.5,"step":123456,"at":1790000000123}\n'
        measure("write(2) alone", calls, lambda _: os.write(file, line))


if __name__ == "__main__":
    main()
