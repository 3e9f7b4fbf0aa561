"""Measure how long `shipit --help` takes beside a bare start of Python; asserts nothing.

    python tests/support/bench_start.py [ROUNDS]

The promise is 0.2 s; a machine under load says more, so that the ratio is what to compare.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

PROMISED = 0.2  # seconds
ROUNDS = 15


def seconds(argv: list[str], rounds: int) -> float:
    """Return the median of a command's wall time."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    bare = seconds([sys.executable, "-c", ""], rounds)
    helped = seconds([sys.executable, "-m", "shipit", "--help"], rounds)
    sys.stdout.write(
        f"python -c ''     {bare * 1000:6.0f} ms\n"
        f"shipit --help    {helped * 1000:6.0f} ms, {helped / bare:.1f} times that"
        f" (promised: {PROMISED * 1000:.0f} ms)\n"
    )


if __name__ == "__main__":
    main()
