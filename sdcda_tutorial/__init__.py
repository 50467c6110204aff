"""Semantic consistency for cross-domain crowd counting, as a tutorial one can run.

The package follows Han, Gao, Yuan, Wang, "Focus on Semantic Consistency for Cross-domain Crowd Understanding",
ICASSP 2020. Importing it is cheap: heavy modules load when they are used.
"""

__version__ = "0.1.0"
