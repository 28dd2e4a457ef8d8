from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from advrush.errors import DataError
from advrush.space import PUBLISHED
from advrush.space.nasbench201 import all_cells, parse
from advrush.tabular import Table, read_table, standing

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
NB201 = SHARED / "nb201" / "jung2023_standard_trained.csv"
TINY = SHARED / "tiny_robustbench" / "open.csv"

CONVS = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
ONE = "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
SAME_AS_ONE = "|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
LINES = f"""nb201_id,arch,clean,pgd,note
7,{CONVS},0.94,0.3,a word
8,{ONE},0.5,,other
9,|skip_connect~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|,0.7,0.3,
"""


def table(tmp_path: Path, text: str | bytes) -> Table:
    path = tmp_path / "own.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path)


def test_reads_measures_and_finds_isomorphic_cells(tmp_path: Path) -> None:
    read = table(tmp_path, LINES)
    assert read.name == "own" and read.space_name == "nasbench201" and len(read.rows) == 3
    assert read.measures == ("clean", "pgd")
    assert read.rows[1].measured == {"clean": 0.5}
    assert not read.is_whole
    found = read.find(parse(SAME_AS_ONE))
    assert found is not None and found.index == 1
    assert read.find(parse(CONVS.replace("3x3~2", "1x1~2"))) is None
    assert read.find(PUBLISHED["ADVRUSH"]) is None
    assert read.values("pgd").tolist() == [0.3, 0.3]
    assert [row.index for row in read.with_measure("pgd")] == [0, 2]


def test_a_genotype_of_darts_and_a_byte_order_mark(tmp_path: Path) -> None:
    quoted = PUBLISHED["ADVRUSH"].to_json().replace('"', '""')
    read = table(tmp_path, f'\ufeffgenotype,robust\r\n"{quoted}",41.5\r\n')
    assert read.space_name == "darts" and read.rows[0].genotype == PUBLISHED["ADVRUSH"]
    assert read.rows[0].measured == {"robust": 41.5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("arch,clean\n", "no rows"),
        ("name,clean\nx,1\n", "no column of genotypes"),
        ("arch,clean,clean\n", "no rows|two columns"),
        (f"arch,clean,clean\n{CONVS},1,2\n", "two columns are called 'clean'"),
        (f"arch,clean\n{CONVS}\n", "line 2: 1 fields; expected 2"),
        ("arch,clean\n|nor_conv~0|,1\n", "line 2: cell"),
        ("arch,clean\nresnet18,1\n", "line 2: got 'resnet18'"),
        (f"arch,clean\n{CONVS},inf\n", "line 2: clean: got inf"),
        (f"arch,clean\n{CONVS},1\n{ONE},good\n", "line 3: clean: got 'good'"),
        (f"arch,note\n{CONVS},good\n", "no column of numbers"),
        (f"arch,clean\n{ONE},1\n{SAME_AS_ONE},2\n", "rows 0 and 1 .* one architecture"),
        (b"\xff\xfe\x00", "not a text in UTF-8"),
    ],
)
def test_refuses_what_is_no_table(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table(tmp_path, text)


def test_refuses_genotypes_of_two_spaces_and_files_that_are_not_there(tmp_path: Path) -> None:
    quoted = PUBLISHED["ADVRUSH"].to_json().replace('"', '""')
    with pytest.raises(DataError, match="line 3: a genotype of darts; expected nasbench201"):
        table(tmp_path, f'arch,clean\n{CONVS},1\n"{quoted}",2\n')
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path)


def test_an_unknown_measure_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="did you mean 'clean'"):
        table(tmp_path, LINES).values("claen")


def test_standings() -> None:
    values = [0.1, 0.5, 0.5, 0.9]
    best = standing(values, 0.9)
    assert (best.rank, best.percentile, best.regret) == (1, 0.0, 0.0)
    middle = standing(values, 0.5)
    assert middle.rank == 2 and middle.percentile == pytest.approx(50) and middle.regret == pytest.approx(0.4)
    assert standing(values, 0.1).percentile == 100
    assert np.mean([standing(values, value).percentile for value in values]) == pytest.approx(50)


@pytest.mark.skipif(not NB201.is_file(), reason=f"needs {NB201.name} in ../shared/data/nb201")
def test_every_cell_of_the_space_is_found_in_the_published_table() -> None:
    read = read_table(NB201)
    assert len(read.rows) == 6_466 and read.is_whole
    assert "cifar10#pgd" in read.measures and "nb201_id" not in read.measures
    found = {row.index for cell in all_cells() if (row := read.find(cell))}
    assert found == set(range(6_466))
    convs = read.find(parse(CONVS))
    assert convs is not None and 0.9 < convs.measured["cifar10#clean"] < 1


@pytest.mark.skipif(not TINY.is_file(), reason=f"needs {TINY.name} in ../shared/data/tiny_robustbench")
def test_tiny_robustbench_is_a_sample_of_157_genotypes() -> None:
    read = read_table(TINY)
    assert len(read.rows) == 157 and read.space_name == "darts" and not read.is_whole
    assert {"clean_acc", "robust_acc", "robust_acc_mean_last"} <= set(read.measures)
    assert read.values("robust_acc").std(ddof=1) == pytest.approx(1.14, abs=0.05)
