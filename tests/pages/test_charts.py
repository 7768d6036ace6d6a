import numpy as np

from collapse_lit.pages.charts import PALETTE, named_axis, scatter
from collapse_lit.pages.names import categories, cut, plain, plain_for_paper


def test_a_name_is_drawn_as_it_stands() -> None:
    assert plain_for_paper("a $x$") == r"a \$x\$"
    assert plain("<b>&amp;</b>") == "&lt;b&gt;&amp;amp;&lt;/b&gt;"


def test_names_that_are_alike_stay_two_places() -> None:
    assert categories(["left", "<i>", "left"]) == ["left", "&lt;i&gt;", "left (2)"]


def test_long_names_are_cut_at_the_axis() -> None:
    assert cut("a" * 16) == "a" * 16
    assert cut("a" * 17) == "a" * 15 + "…"
    assert named_axis(["<" + "a" * 20])["ticktext"] == ["&lt;" + "a" * 14 + "…"]
    # To Plotly the number 1 is the category "1", wherever that stands: places are said by name.
    assert named_axis(["0", "5", "1"])["tickvals"] == ["0", "5", "1"]


def test_groups_are_coloured_in_the_order_of_their_numbers() -> None:
    names = {2: "cluster 2", 10: "cluster 10"}
    tips = [[0, "a"], [1, "b"], [2, "c"]]
    xy = np.array([[0, 0], [1, 1], [2, 2]])
    first, second = scatter(xy, [10, 2, 10], names, [0, 0, 1], tips, "points").figure["data"]
    assert (first["name"], second["name"]) == ("cluster 2", "cluster 10")
    assert first["marker"]["color"] == PALETTE[0]
    assert second["customdata"] == [[0, "a"], [2, "c"]]
    assert second["marker"]["symbol"] == ["circle", "x"]
