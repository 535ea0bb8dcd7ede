"""Leaving parts out of an import: what is left out is gone inside the block only."""

import importlib
import subprocess
import sys

import pytest

from service.kit.hollow import absent


def test_an_absent_module_cannot_be_imported_inside_the_block_and_can_after_it() -> None:
    sys.modules.pop("colorsys", None)
    with absent("colorsys"), pytest.raises(ImportError):
        importlib.import_module("colorsys")
    assert importlib.import_module("colorsys").rgb_to_hsv(0, 0, 0) == (0.0, 0.0, 0)


def test_a_module_that_is_loaded_already_stays() -> None:
    before = importlib.import_module("colorsys")
    with absent("colorsys"):
        assert importlib.import_module("colorsys") is before
    assert sys.modules["colorsys"] is before


def test_the_module_is_there_again_when_the_block_raises() -> None:
    sys.modules.pop("colorsys", None)
    with pytest.raises(ZeroDivisionError), absent("colorsys"):
        _ = 1 / 0
    assert importlib.import_module("colorsys")


def test_logging_does_not_load_what_draws_on_terminals_and_does_not_hide_it_either() -> None:
    asked = (
        "import sys, service.record.log; assert 'rich' not in sys.modules;"
        " from rich.console import Console; Console()"
    )
    ended = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
