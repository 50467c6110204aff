"""Semantic consistency for cross-domain crowd counting, as a tutorial one can run.

The package follows Han, Gao, Yuan, Wang, "Focus on Semantic Consistency for Cross-domain Crowd Understanding",
ICASSP 2020. Importing it is cheap: heavy modules load when they are used.
"""

import os

__version__ = "0.2.0"

# OpenMP threads that wait for each other keep their cores busy. Where another program needs one of two cores, that has
# cost up to ten times a step's time on one machine and nothing on another (benchmarks/bench_busy.py). It stands here
# because it is read when torch is loaded.
WAITING = {"GOMP_SPINCOUNT": "2000", "KMP_BLOCKTIME": "1"}  # turns of GNU's library, milliseconds of the others
if not {"OMP_WAIT_POLICY", *WAITING} & os.environ.keys():
    os.environ |= WAITING
