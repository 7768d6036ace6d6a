"""The pages as a browser shows them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from example_run import write_run
from PIL import Image

from collapse_lit.cli import main
from collapse_lit.report import build_report
from collapse_lit.report import page as page_module

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("quiet")]

ATTACK = (
    "<b>&amp;</b><img src=x onerror=\"document.title='run'\">"
    "</script><script>document.title='run'</script>"
)
EVIL = [f"{i}{ATTACK}" for i in range(4)]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page of each kind; "evil" is a run whose every name is an attack."""
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_module, "run_figures", lambda *_: ())  # not looked at here
        run = build_report(write_run(folder / "run").path)
        evil = write_run(folder / f"evil {ATTACK.replace('/', '∕')[:60]}", EVIL, EVIL[:2])
        evil.identity.write_text(json.dumps({"name": ATTACK, "wandb_id": ATTACK, "seed": 0}))
        evil.config.write_text(f"data: {{source: {json.dumps(ATTACK)}}}")
        report = build_report(evil.path)
    return {
        "run": run,
        "evil": report,
        "grid": grid_page(folder / "grid"),
        "discovery": discovery_page(folder / "found"),
    }


def grid_page(folder: Path) -> Path:
    values = {"model.lr": {"values": [0.1, 0.01]}, "model.<b>": {"values": [ATTACK, "5e-4"]}}
    folder.mkdir()
    (folder / "sweep.yaml").write_text(yaml.safe_dump({"parameters": values}))
    with pytest.MonkeyPatch.context() as patch:
        from collapse_lit.compare import grid_table as grid

        patch.setattr(grid, "save_figure", lambda *_: None)
        patch.setattr("collapse_lit.compare.command.grid_cells", lambda _: dict.fromkeys("abcd"))
        for place, cell in enumerate("abcd"):
            run = write_run(folder / cell, snapshots=())
            row = json.loads(run.history.read_text().splitlines()[-1])
            row |= {"recovery/separation": 0.1 * place, "recovery/clp_test": 0.9 - 0.1 * place}
            run.history.write_text(json.dumps(row) + "\n")
        (folder / "b" / "report.html").write_text("<title>page of b</title>")
        assert main(["report", str(folder)]) == 0
    return folder / "report.html"


def discovery_page(folder: Path) -> Path:
    folder.mkdir()
    features = np.random.default_rng(0).normal(size=(120, 4)).astype(np.float32)
    features[::2, 0] += 12
    np.save(folder / "f.npy", features)
    Image.new("RGB", (60, 40), "red").save(folder / "red.png")
    with (folder / "l.csv").open("w", newline="") as file:
        rows = [(f"gone {ATTACK}" if i % 2 else "red.png", f"cat {ATTACK}") for i in range(120)]
        csv.writer(file).writerows([("path", "label"), *rows])
    files = [f"--features={folder / 'f.npy'}", f"--labels={folder / 'l.csv'}"]
    assert main(["discover", *files, "--k", "2", "--out", str(folder / "out")]) == 0
    return folder / "out" / "report.html"


def test_curves_show_their_numbers_when_pointed_at(pages, browser) -> None:
    browser.open(pages["run"]).point_at(
        "#recovery .plot .nsewdrag",
        shows="document.querySelector('#recovery .hoverlayer')?.textContent",
    )
    said = browser.run("return document.querySelector('#recovery .hoverlayer').textContent")
    for text in ("0.875", "0.950", "0.500", "NC1"):
        assert text in said, said


SAYS = "!document.getElementById('tip').hidden && tip.textContent.includes(%r)"
TIP = "return [...document.querySelectorAll('#tip figcaption div')].map(e => e.textContent)"
PICTURE = "return getComputedStyle(document.querySelector('#tip .picture')).backgroundImage"
EDGES = (
    "const b = document.getElementById('tip').getBoundingClientRect();"
    "return [b.left, b.top, innerWidth - b.right, innerHeight - b.bottom]"
)
POINT = ".plot .scatterlayer .trace:nth-of-type(%d) .points path"


@pytest.mark.parametrize("width", [1280, 375])
def test_a_point_shows_its_image_and_what_it_is(pages, browser, width: int) -> None:
    """Pointed at on a wide screen, tapped on a narrow one."""
    browser.open(pages["run"], width).point_at(
        f"#residuals {POINT % 1}", shows=SAYS % "cluster 0sample 0"
    )
    assert browser.run(TIP) == ["cat", "cluster 0", "sample 0"]
    assert browser.run(PICTURE).startswith('url("data:image/webp;base64,')
    assert min(browser.run(EDGES)) >= 0


def test_dark_and_light_are_legible(pages, browser) -> None:
    """Contrast of text, of the page and in its charts, as WCAG counts it."""
    script = """
    const channel = (v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number);
      return .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b); };
    const paper = light(getComputedStyle(document.querySelector('section')).backgroundColor);
    const texts = [['section p', 'color'], ['section h2', 'color'],
                   ['.xtick text', 'fill'], ['.legendtext', 'fill']];
    return texts.map(([selector, property]) => {
      const ink = light(getComputedStyle(document.querySelector(selector))[property]);
      return (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05); });
    """
    browser.open(pages["run"], 375)
    papers = []
    try:
        for scheme in ("dark", "light"):
            feature = {"name": "prefers-color-scheme", "value": scheme}
            browser.command("Emulation.setEmulatedMedia", features=[feature])
            tick = "getComputedStyle(document.querySelector('.legendtext')).fill"
            ink = "getComputedStyle(document.body).color"
            browser.until(f"{tick} === {ink}")  # the charts have followed
            assert min(browser.run(script)) >= 4.5
            papers.append(browser.run("return getComputedStyle(document.body).backgroundColor"))
    finally:
        browser.command("Emulation.setEmulatedMedia", features=[])
    assert papers[0] != papers[1]


@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize("kind", ["run", "evil", "grid", "discovery"])
def test_nothing_sticks_out_of_the_window(pages, browser, kind: str, width: int) -> None:
    browser.open(pages[kind], width)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert browser.run("return document.querySelectorAll('.plot svg').length") > 0


def test_names_of_a_run_execute_nothing_and_are_shown_as_they_are(pages, browser) -> None:
    browser.open(pages["evil"])
    text = browser.run("return document.querySelector('main').innerText")
    assert ATTACK in text  # the W&B id
    browser.point_at(f"#residuals {POINT % 1}", shows=SAYS % "cluster 0sample 0")
    assert browser.run(TIP)[0] == EVIL[0]
    tick = browser.run("return document.querySelector('#heat-map .xtick text').textContent")
    assert tick == EVIL[0][:15] + "…"
    browser.point_at(
        "#heat-map .nsewdrag", shows="document.querySelector('#heat-map .hoverlayer')?.textContent"
    )
    hover = browser.run("return document.querySelector('#heat-map .hoverlayer').textContent")
    assert "<b>&amp;</b><img src=x" in hover
    assert_nothing_ran(browser)


def test_names_of_a_discovery_execute_nothing(pages, browser) -> None:
    browser.open(pages["discovery"]).point_at(POINT % 1, shows=SAYS % "red.png")
    assert browser.run(TIP) == ["cluster 0", "confidence 1.00", "red.png"]
    assert browser.run(PICTURE).startswith('url("data:image/webp;base64,')
    browser.point_at(POINT % 2, shows=SAYS % "cluster 1")
    assert browser.run(TIP)[2] == f"gone {ATTACK}"
    assert browser.run("return document.querySelector('#tip .picture').hidden")
    assert f"cat {ATTACK}" in browser.run("return document.querySelector('main').innerText")
    assert_nothing_ran(browser)


def test_names_are_typed_in_the_page_and_saved(pages, browser) -> None:
    browser.open(pages["discovery"])
    browser.run(
        "window.saved = null; const make = URL.createObjectURL;"
        "URL.createObjectURL = (blob) => {"
        "  blob.text().then((text) => { window.saved = text; }); return make(blob); };"
        "const field = document.querySelector('input.name'); field.value = 'mine, \"own\" ';"
        "field.dispatchEvent(new Event('input', { bubbles: true }));"
        "document.querySelector('#names button').click();"
    )
    browser.until("window.saved")
    rows = list(csv.DictReader(browser.run("return window.saved").splitlines()))
    assert [(row["cluster"], row["name"]) for row in rows] == [("0", 'mine, "own"'), ("1", "")]
    assert {row["coarse"] for row in rows} == {f"cat {ATTACK}"}
    counted = browser.run("return document.querySelector('#names output').textContent")
    assert counted == "1 of 2 clusters named"
    assert_nothing_ran(browser)


def test_printing_draws_every_chart(pages, browser) -> None:
    browser.leave(pages["discovery"].as_uri())  # opened, not scrolled
    browser.run("dispatchEvent(new Event('beforeprint'))")
    browser.until("[...document.querySelectorAll('.plot')].every((plot) => plot._fullLayout)")


@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize("kind", ["run", "discovery"])
def test_printing_cuts_no_chart(pages, browser, kind: str, width: int) -> None:
    """A4 has 718 pixels between its margins; a window that is printed gets no resize event."""
    browser.open(pages[kind], width)
    widths = "return [...document.querySelectorAll('.plot')].map((plot) => plot._fullLayout.width)"
    space = (
        "return [...document.querySelectorAll('.chart')].map(c => c.getBoundingClientRect().width)"
    )
    before = browser.run(widths)
    try:
        browser.run("dispatchEvent(new Event('beforeprint'))")
        browser.command("Emulation.setEmulatedMedia", media="print")
        browser.run("document.body.style.width = '718px'")
        for drawn, there in zip(browser.run(widths), browser.run(space), strict=True):
            assert 0.85 * there < drawn <= there
    finally:
        browser.run("document.body.style.width = ''")
        browser.command("Emulation.setEmulatedMedia", media="")
        browser.run("dispatchEvent(new Event('afterprint'))")
    assert browser.run(widths) == pytest.approx(before)


def test_a_cell_of_the_grid_leads_to_its_own_page(pages, browser) -> None:
    browser.open(pages["grid"])
    assert "<b>&amp;</b>" in browser.run("return document.querySelector('.plot').textContent")
    assert_nothing_ran(browser)
    rows = browser.run(
        "return [...document.querySelectorAll('tr.marked')].map(row => row.innerText.split('\\t'))"
    )
    assert [row[:2] for row in rows] == [["a", "★"], ["d", "●"]]
    links = browser.run("return [...document.querySelectorAll('td a')].map(a => a.innerText)")
    assert links == ["b"]
    browser.leave(browser.run("return document.querySelector('td a').href"))
    assert browser.driver.title == "page of b"


def test_a_script_that_were_smuggled_in_would_not_run(pages, browser, tmp_path: Path) -> None:
    """The policy holds even if an escape were forgotten."""
    spoiled = pages["run"].read_text().replace("<main>", f"<main>{ATTACK}", 1)
    (tmp_path / "spoiled.html").write_text(spoiled)
    browser.leave((tmp_path / "spoiled.html").as_uri())
    assert browser.run("return document.title") != "run"
    assert any("Content Security Policy" in said for said in browser.complaints())


def test_without_javascript_the_page_says_so(pages, browser) -> None:
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.leave(pages["run"].as_uri())
        words = browser.driver.find_element("tag name", "noscript").text
        assert "need JavaScript" in words
        assert "figures/*.png" in words
    finally:
        browser.command("Emulation.setScriptExecutionDisabled", value=False)


def assert_nothing_ran(browser) -> None:
    assert browser.run("return document.title") != "run"
    assert browser.run("return document.querySelectorAll('img[src=x], .plot img').length") == 0
