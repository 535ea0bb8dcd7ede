"""Siblings know nothing of each other: a kind, a chapter, a guard or a sink can be
read, and deleted, alone.

The lists come from the registries, so that a new one is held to it without a line here.
"""

from functools import cache

import grimp
import pytest

from service.act import KINDS
from service.diagnose import CHAPTERS
from service.guard.chain import CHAIN
from service.publish import SINKS

# `scale_to` is the form of `scale` that a saga uses: the same request and hand under other
# arguments. A saga itself (a kind with a `course`) is made of other kinds.
SHARED = {("service.act.scale_to", "service.act.scale")}

SAGAS = {kind.plan.__module__ for kind in KINDS.values() if kind.course is not None}
FAMILIES = {
    "kinds": {kind.plan.__module__ for kind in KINDS.values()},
    "chapters": {chapter.diagnose.__module__ for chapter in CHAPTERS.values()},
    "guards": {guard.__module__ for guard in CHAIN.values()},
    "sinks": {sink.bind.__module__ for sink in SINKS.values()},
}


@cache
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("service", cache_dir=None)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_sibling_imports_another(family: str) -> None:
    members = FAMILIES[family]
    assert len(members) > 1, f"{family} of one module each: {members}"
    found = {
        (one, other)
        for one in members - SAGAS
        for other in imports().find_modules_directly_imported_by(one) & members
    }
    assert found - SHARED == set()


def test_what_is_registered_is_where_its_room_says() -> None:
    rooms = {"kinds": "service.act.", "chapters": "service.diagnose.chapters.",
             "guards": "service.guard.", "sinks": "service.publish."}  # fmt: skip
    for family, members in FAMILIES.items():
        assert {m for m in members if not m.startswith(rooms[family])} == set()
