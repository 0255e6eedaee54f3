"""What lasts is not searched for garbage; what comes later is."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from panloom.engine.collector import lasting_objects, leave_all


@pytest.fixture(autouse=True)
def search() -> Iterator[None]:
    """Leave Python's search as it was."""
    was_enabled = gc.isenabled()
    gc.enable()
    yield
    gc.unfreeze()
    if not was_enabled:
        gc.disable()


class Ring:
    """An object in a circle, which only a search finds."""

    def __init__(self) -> None:
        self.other = [self]


def test_what_was_made_meanwhile_stays_and_garbage_of_later_goes() -> None:
    gc.unfreeze()
    with lasting_objects():
        assert not gc.isenabled()
        within = weakref.ref(Ring())
    assert gc.isenabled()
    assert gc.get_freeze_count() > 1000
    after = weakref.ref(Ring())
    gc.collect()
    assert after() is None
    assert within() is not None


def test_the_search_goes_on_after_an_error_and_stays_off_where_it_was() -> None:
    with pytest.raises(ImportError), lasting_objects():
        raise ImportError
    assert gc.isenabled()
    gc.disable()
    with lasting_objects():
        pass
    assert not gc.isenabled()


def test_at_the_end_nothing_is_searched() -> None:
    leave_all()
    ring = weakref.ref(Ring())
    assert not gc.isenabled()
    leave_all()
    gc.collect()
    assert ring() is not None


def test_a_command_leaves_modules_out_of_the_search() -> None:
    code = (
        "import gc\n"
        "from panloom.engine.dispatch import recipe_of\n"
        "recipe_of('models')\n"
        "first = gc.get_freeze_count()\n"
        "assert gc.isenabled() and first > 1000, first\n"
        "kept = [[] for _ in range(50_000)]\n"
        "recipe_of('models')\n"  # only what it imports is left out, not what was made since
        "assert gc.get_freeze_count() == first\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
