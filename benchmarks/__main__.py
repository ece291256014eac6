"""`make bench`: every benchmark in turn, each in a process of its own; fails if one of its limits does not hold."""

from __future__ import annotations

import subprocess
import sys
import time

BENCHMARKS = ("bench_intake", "bench_requests", "bench_delivery", "bench_scheduling", "bench_sweep", "bench_notices")


def main() -> int:
    """Run them all and return 1 if one failed."""
    failed = []
    for name in BENCHMARKS:
        began = time.monotonic()
        code = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
        print(f"    [{name}: {time.monotonic() - began:.0f} s]\n", flush=True)
        if code:
            failed.append(name)
    print("every limit holds" if not failed else f"limits that do not hold: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
