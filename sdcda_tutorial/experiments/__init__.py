"""Many trainings: presets, the pipeline of one method, benchmarks over seeds, their statistics and figures."""
