"""What anyone's network and batches hold: where features are, and how they are read."""
