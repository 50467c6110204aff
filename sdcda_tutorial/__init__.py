"""Semantic consistency for cross-domain crowd counting, as a tutorial one can run.

The package follows Han, Gao, Yuan, Wang, "Focus on Semantic Consistency for Cross-domain Crowd Understanding",
ICASSP 2020. Importing it is cheap: heavy modules load when they are used.
"""

import os

__version__ = "0.2.0"

# OpenMP threads that wait for each other keep their cores busy. Where another program needs one of two cores, that has
# cost up to ten times a step's time (benchmarks/bench_busy.py). Threads that sleep too soon cost time as well: with
# 2,000 turns a step of 71 ms took 89 ms on an idle machine with AMX. It stands here because it is read when torch is
# loaded.
WAITING = {"GOMP_SPINCOUNT": "5000", "KMP_BLOCKTIME": "1"}  # turns of GNU's library, milliseconds of the others
if not {"OMP_WAIT_POLICY", *WAITING} & os.environ.keys():
    os.environ |= WAITING
