"""The page of a run, from the run directory."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from example_run import write_run
from plotly.offline import get_plotlyjs

from collapse_lit.cli import main
from collapse_lit.errors import UserError
from collapse_lit.measure.recovery.epoch import select_epoch
from collapse_lit.report import build_report
from collapse_lit.report import page as page_module
from collapse_lit.report.charts import MOST_EPOCHS, distance_frames

ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;{{7*7}}"


class Page(HTMLParser):
    """The charts of a page, its own words, and every tag that could do something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.held: list[dict] = []
        self.words, self.active, self.code = "", [], 0
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        kind = dict(attrs).get("type")
        self._in = f"{tag} {kind}" if tag in ("script", "style") else ""
        self.code += self._in == "script None"
        if tag in ("img", "iframe", "object") or any(name.startswith("on") for name, _ in attrs):
            self.active.append(tag)

    def handle_endtag(self, tag) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "script application/json":
            self.held.append(json.loads(data))
        elif not self._in:
            self.words += data

    @property
    def charts(self) -> list[dict]:
        return [held for held in self.held if "layout" in held]


@pytest.fixture(autouse=True)
def _without_figures(request, monkeypatch) -> None:
    """They take a second each; their own test draws them."""
    if "figures" not in request.node.name:
        monkeypatch.setattr(page_module, "run_figures", lambda *_: ())


def sliders_of(page: Page) -> list[dict]:
    """What the sliders hold: that of the heat map, and that of the scatters."""
    return sorted((held for held in page.held if "frames" in held), key=lambda s: "classes" in s)


def page_of(run) -> Page:
    return Page(build_report(run.path).read_text())


def test_the_page_says_what_was_recovered_between_floor_and_ceiling(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    page = page_of(run)
    for text in ("87.5 %", "50.0 %", "95.0 %", "2 coarse labels", "the 4 fine classes", "epoch 3"):
        assert text in page.words, text
    # recovery, two scatters, the heat map, NC1 to NC4
    assert len(page.charts) >= 1 + 2 + 1 + 4
    names = [trace["name"] for trace in page.charts[0]["data"]]
    assert {"ceiling: probe on true fine labels, test", "floor: random clusters, test"} < {*names}
    assert {"recovered fine classes, test", "k-means on raw features, train"} < {*names}
    assert names[-1] == "NC1 (right axis)"
    assert page.charts[0]["data"][-1]["yaxis"] == "y2"
    assert page.charts[0]["layout"]["yaxis2"]["type"] == "log"
    chosen = select_epoch(run.read_history())["epoch"]
    assert page.charts[0]["layout"]["shapes"][0]["x0"] == chosen


def test_the_slider_holds_every_snapshot(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    frames, _ = sliders_of(page_of(run))
    assert frames["epochs"] == [0, 1, 3]
    matrix = run.read_snapshots()[1]["class_distances"]
    order = [0, 2, 1, 3]  # coarse classes are fine classes modulo 2: siblings side by side
    expected = np.log10(matrix / np.median(matrix))[order][:, order]
    assert np.allclose(frames["frames"][1], expected, atol=1e-3)
    (heat,) = [c["data"][0] for c in page_of(run).charts if c["data"][0]["type"] == "heatmap"]
    names = [str(name) for name in run.read_snapshots()[1]["fine_names"]]
    assert heat["y"] == [names[fine] for fine in order]


def test_the_scatters_move_through_every_snapshot(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    page = page_of(run)
    _, slider = sliders_of(page)
    assert slider["epochs"] == [0, 1, 3]
    assert slider["chosen"] == select_epoch(run.read_history())["epoch"]
    assert len(slider["classes"]) == len(slider["frames"][0]) == 2
    for frame, spread in zip(slider["frames"], ("0.50", "0.25", "0.12"), strict=True):
        assert [(one["space"], one["spread"]) for one in frame] == [("white2/gmm", spread)] * 2
    assert "spread 0.50" in page.words
    shown = slider["frames"][slider["epochs"].index(slider["chosen"])][0]
    drawn = [place for trace in page.charts[1]["data"] for place in trace["x"]]
    assert sorted(drawn) == sorted(shown["x"])


def test_one_snapshot_or_unknown_samples_have_no_slider(tmp_path: Path) -> None:
    run = write_run(tmp_path / "one", snapshots=(3,))
    assert len(sliders_of(page_of(run))) == 1  # of the heat map
    old = write_run(tmp_path / "old")
    for epoch, arrays in old.read_snapshots().items():
        old.write_snapshot(epoch, {k: v for k, v in arrays.items() if k not in ("index", "spread")})
    page = page_of(old)
    assert len(sliders_of(page)) == 1
    assert "Training features at epoch" in page.words
    assert "spread" not in page.words.lower()


def test_many_snapshots_are_thinned_but_the_chosen_one_stays() -> None:
    frames, shown = distance_frames({epoch: np.ones((3, 3)) for epoch in range(350)}, chosen=123)
    assert len(frames["epochs"]) <= MOST_EPOCHS + 1
    assert {0, 123, 349} <= set(frames["epochs"])
    assert frames["epochs"][shown] == 123


def test_points_know_their_picture_class_and_cluster(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run"))
    (sprite,) = [held for held in page.held if "uri" in held]
    assert sprite["uri"].startswith("data:image/webp;base64,")
    animals = page.charts[1]["data"]
    assert [trace["name"] for trace in animals] == ["cat", "car"]
    assert animals[0]["customdata"][1] == [4, "cat", "cluster 0", "sample 28"]


def test_an_old_run_without_thumbnails_has_a_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    run.thumbnails.unlink()
    page = page_of(run)
    assert not [held for held in page.held if "uri" in held]
    assert page.charts[1]["data"][0]["customdata"][0][0] == -1


def test_a_run_without_snapshots_or_configuration_has_a_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", snapshots=())
    run.config.unlink()
    run.identity.unlink()
    assert len(page_of(run).charts) == 1 + 4


def test_without_fine_labels_nothing_claims_accuracy(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run", told=False))
    for word in ("recovered", "floor", "accuracy on fine"):
        assert word not in page.words + json.dumps(page.charts), word
    assert [trace["name"] for trace in page.charts[1]["data"]] == ["cluster 0", "cluster 2"]


def test_names_are_text_and_nothing_else(tmp_path: Path) -> None:
    fine, coarse = [f"{i}{ATTACK}" for i in range(4)], [f"c{ATTACK}", f"d{ATTACK}"]
    run = write_run(tmp_path / 'x"><script>alert(2)<', fine, coarse)
    run.config.write_text(f"data: {{source: {json.dumps(ATTACK)}}}\nmodel: [")
    run.identity.write_text(json.dumps({"name": ATTACK, "wandb_id": ATTACK, "seed": ATTACK}))
    text = build_report(run.path).read_text()
    page = Page(text)
    assert page.active == []
    assert page.code == 2  # Plotly's script and ours
    assert ATTACK in page.words
    assert "<script>alert(2)<" in page.words
    for chart in page.charts:  # what Plotly would take for a tag
        drawn = {**chart, "data": [{**trace, "customdata": None} for trace in chart["data"]]}
        for match in re.findall(r"<\w+", json.dumps(drawn)):
            assert match in ("<br", "<extra"), match


def test_figures_are_drawn_whatever_the_names(tmp_path: Path) -> None:
    fine, coarse = [f"{ATTACK}{i}" for i in range(4)], ["$x_{$", f"{ATTACK} $$"]
    run = write_run(tmp_path / "run", fine, coarse)
    build_report(run.path)
    names = {"recovery.png", "collapse.png", "distances.png", "residuals.png"}
    assert {path.name for path in run.figures.iterdir()} == names


def test_the_policy_names_the_scripts_of_the_page_and_no_others(tmp_path: Path) -> None:
    text = build_report(write_run(tmp_path / "run").path).read_text()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert policy.count("sha256-") == 2
    assert "unsafe-eval" not in policy
    assert "script-src 'sha256-" in policy
    assert text.count(get_plotlyjs()) == 1


def test_a_long_run_on_cifar10_stays_under_ten_megabytes(tmp_path: Path) -> None:
    """Noise is what pictures can be at worst."""
    names = [f"class {i}" for i in range(10)]
    run = write_run(
        tmp_path / "run",
        names,
        [f"coarse {i}" for i in range(5)],
        epochs=350,
        snapshots=range(0, 350, 12),
        points=2000,
        side=32,
        noise=True,
    )
    assert build_report(run.path).stat().st_size < 10e6


def test_broken_thumbnails_are_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    run.thumbnails.write_bytes(b"PK")
    with pytest.raises(UserError, match=r"thumbnails\.npz cannot be read .* remove it"):
        build_report(run.path)
    run.write_thumbnails({"index": [1]})
    assert main(["report", str(run.path)]) == 2
