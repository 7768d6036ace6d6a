"""docs/metrics.md, from the catalogue: ``python -m collapse_lit.report.metrics_page``."""

from collapse_lit.metrics import METRICS

PAGE = """\
# What is measured

Each measured epoch is a line of `history.jsonl` and a point in W&B, under these keys:

- `collapse/…` measures the training features by their coarse labels.
- `collapse_test/…` measures the test features by their coarse labels.
- `collapse_fine/…` measures the training features by their fine labels.
- `collapse_layers/PATH/…` and `recovery_layers/PATH/…` measure the layer at PATH.

The docstrings of `neural_collapse` and `score_recovery` have definitions and sources.
[Conventions](conventions.md) compares them with other code.
`make results` writes this page from [metrics.py](../collapse_lit/metrics.py).

| key | meaning | better | unit |
|---|---|---|---|
"""


def page() -> str:
    """docs/metrics.md."""
    rows = (f"| `{m.key}` | {m.meaning} | {m.better} | {m.unit} |" for m in METRICS)
    return PAGE + "\n".join(rows)


if __name__ == "__main__":
    print(page())
