"""Compare several runs: a run with its controls, or a grid of runs."""
