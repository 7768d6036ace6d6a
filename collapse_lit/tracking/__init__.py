"""The records of a run: its directory, its checkpoints and its curves in W&B."""
