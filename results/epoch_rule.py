"""What the choice of an epoch loses against the best one, in every kept run: a markdown table.

python results/epoch_rule.py
"""

import numpy as np
from kept import read_runs

from collapse_lit.measure.recovery.epoch import select_epoch
from collapse_lit.metrics import HEADLINE, SEPARATION


def main() -> None:
    """Print the table."""
    print("| run | epochs measured | chosen | recovered there | best epoch | recovered | lost |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    lost = []
    for name, run in read_runs().items():
        keys = (SEPARATION, HEADLINE)
        rows = [row for row in run.history if all(row.get(key) is not None for key in keys)]
        again = name.startswith("by_layer/")  # checkpoints of other runs, on fewer images
        if len(rows) < 2 or again:
            continue
        best = max(rows, key=lambda row: row[HEADLINE])
        selected = select_epoch(rows)
        if selected is None:
            chosen = "none qualifies | "
        else:
            there = next(row for row in rows if row["epoch"] == selected["epoch"])
            lost.append(best[HEADLINE] - there[HEADLINE])
            chosen = f"{there['epoch']} | {there[HEADLINE]:.4f}"
        loss = f"{lost[-1]:.4f}" if selected else ""
        at_best = f"{best['epoch']} | {best[HEADLINE]:.4f}"
        print(f"| {name} | {len(rows)} | {chosen} | {at_best} | {loss} |")
    print(f"\n{len(lost)} runs: mean {np.mean(lost):.4f}, median {np.median(lost):.4f}, ", end="")
    print(f"largest {max(lost):.4f}")


if __name__ == "__main__":
    main()
