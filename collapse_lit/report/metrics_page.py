"""docs/metrics.md, from the catalogue: ``python -m collapse_lit.report.metrics_page``."""

from collapse_lit.metrics import METRICS

PAGE = """\
# What is measured

Each measured epoch is a line of `history.jsonl` and a point in W&B, under these keys.
`collapse/…` is of training features and coarse labels. `collapse_test/…` is the same of the test
set, `collapse_fine/…` the same of the training set's fine labels, and `collapse_layers/PATH/nc1` of
another layer. Definitions and sources stand in the docstrings of `neural_collapse` and
`score_recovery`. This page is written by `make results`, from
[metrics.py](../collapse_lit/metrics.py).

| key | meaning | better | unit |
|---|---|---|---|
"""


def page() -> str:
    """docs/metrics.md."""
    rows = (f"| `{m.key}` | {m.meaning} | {m.better} | {m.unit} |" for m in METRICS)
    return PAGE + "\n".join(rows)


if __name__ == "__main__":
    print(page())
