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
    lost: dict[str, list[float]] = {"images": [], "Gaussians": []}
    for name, run in read_runs().items():
        keys = (SEPARATION, HEADLINE)
        rows = [row for row in run.history if all(row.get(key) is not None for key in keys)]
        # checkpoints of other runs, and runs measured by a search that was given up
        again = name.startswith(("by_layer/", "factorial/"))
        if len(rows) < 2 or again or rows[-1]["recovery/chance"] == 1:  # 1: nothing to recover
            continue
        best = max(rows, key=lambda row: row[HEADLINE])
        selected = select_epoch(rows)
        chosen, loss = "none qualifies | ", ""
        if selected is not None:
            there = next(row for row in rows if row["epoch"] == selected["epoch"])
            less = best[HEADLINE] - there[HEADLINE]
            lost["Gaussians" if name.startswith("gaussian/") else "images"].append(less)
            chosen, loss = f"{there['epoch']} | {there[HEADLINE]:.4f}", f"{less:.4f}"
        at_best = f"{best['epoch']} | {best[HEADLINE]:.4f}"
        print(f"| {name} | {len(rows)} | {chosen} | {at_best} | {loss} |")
    for what, of_runs in lost.items():
        print(f"\n{len(of_runs)} runs on {what}: mean {np.mean(of_runs):.4f}, ", end="")
        print(f"median {np.median(of_runs):.4f}, largest {max(of_runs):.4f}")


if __name__ == "__main__":
    main()
