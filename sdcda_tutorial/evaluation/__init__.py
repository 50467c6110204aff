"""One model, measured, tabled and drawn."""

from sdcda_tutorial.evaluation.results import Results, evaluate

__all__ = ["Results", "evaluate"]
