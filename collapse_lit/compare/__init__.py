"""Several runs side by side: a run and its controls, a grid of runs."""
