from __future__ import annotations

import base64
from pathlib import Path

from bench.report.markdown import Picture
from bench.report.page.figures import embed

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="100pt" height="50pt"></svg>'


def pictures(folder: Path) -> list[Picture]:
    """Return a plot of one encoder and one of all, in this order."""
    for name in ("a", "b"):
        (folder / f"{name}.svg").write_text(SVG)
    return [
        Picture(path="a.png", title="A", caption="", encoder="resnet"),
        Picture(path="b.png", title="B", caption=""),
    ]


def test_a_plot_becomes_data_of_its_own_size(tmp_path: Path) -> None:
    found = embed(pictures(tmp_path), tmp_path)
    for figure in found.values():
        kind, _, data = figure.source.partition(",")
        assert (kind, base64.b64decode(data).decode()) == ("data:image/svg+xml;base64", SVG)
        assert (figure.width, figure.height) == (170, 85)


def test_beyond_the_limit_plots_are_linked_those_of_one_encoder_first(tmp_path: Path) -> None:
    size = len(embed(pictures(tmp_path), tmp_path)["a.png"].source)
    found = embed(pictures(tmp_path), tmp_path, limit=2 * size - 1)
    assert found["b.png"].source and not found["a.png"].source
    assert found["a.png"].link == "a.svg"
