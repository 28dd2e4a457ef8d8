"""What a search collapses to, epoch by epoch."""

from advrush.report.sections.search import share_curves
from advrush.searching.monitor import shares
from advrush.space import PUBLISHED
from advrush.space.nasbench201 import Cell201


def test_shares_of_a_cell() -> None:
    cell = Cell201(("skip_connect", "none", "avg_pool_3x3", "nor_conv_3x3", "skip_connect", "skip_connect"))
    assert shares(cell.cells()["cell"]) == {"skip": 0.5, "pool": 1 / 6, "none": 1 / 6}
    normal = shares(PUBLISHED["DARTS_V2"].cells()["normal"])
    assert normal == {"skip": 2 / 8, "pool": 0, "none": 0}


def test_the_figure_shows_percents_by_epoch() -> None:
    rows = [
        {"epoch": e, "phase": "objective", "shares": {"cell": {"skip": e / 4, "pool": 0.25, "none": 0}}}
        for e in range(3)
    ]
    (axis,) = share_curves(rows).axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in axis.lines if line.get_label()[0] != "_"}  # type: ignore[union-attr]
    assert lines["skip"] == [[1, 0], [2, 25], [3, 50]]
    assert lines["pool"] == [[1, 25], [2, 25], [3, 25]]
