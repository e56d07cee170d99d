"""What the package exports is there under its name, in whatever order it is asked for."""

from __future__ import annotations

import subprocess
import sys
from itertools import permutations

import pytest

import ochat_data


@pytest.mark.parametrize(
    "names", list(permutations(("PackStatistics", "pack_statistics", "plan_batches"), 2))
)
def test_a_function_is_not_taken_for_the_module_it_lies_in(names: tuple[str, str]) -> None:
    listed = ", ".join(names)
    program = f"from ochat_data import {listed}\nassert all(map(callable, ({listed})))"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_public_name_can_be_had() -> None:
    for name in ochat_data.__all__:
        assert getattr(ochat_data, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ochat_data.nothing


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = (
        "import sys, ochat_data, ochat_data.__main__ as m; m.build_parser()\n"
        "print(*{'numpy', 'pyarrow', 'numba', 'selectolax', 'sentencepiece'} & set(sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert found.stdout.split() == []
