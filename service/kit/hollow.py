"""Imports of a package without the parts of it that are never used here.

kubernetes_asyncio loads 1,400 model and API classes for the sake of one HTTP client,
and cel a whole terminal toolkit for its own command line: 44 MiB and 0.4 s together,
measured. Inside the block below, modules under the named prefixes come up empty,
each of their names a placeholder that fails when it is used.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class HollowPartError(RuntimeError):
    """A part that was left out is used after all."""


class _HollowModule(ModuleType):
    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)

        def use(*_: object, **__: object) -> None:
            raise HollowPartError(f"{self.__name__}.{name} was left out of the import")

        return type(name, (), {"__init__": use, "__module__": self.__name__})


class _Hollow(MetaPathFinder, Loader):
    def __init__(self, prefixes: tuple[str, ...]) -> None:
        self._prefixes = prefixes

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        left_out = any(name == p or name.startswith(p + ".") for p in self._prefixes)
        return ModuleSpec(name, self, is_package=True) if left_out else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _HollowModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: that is the point."""


@contextmanager
def absent(name: str) -> Iterator[None]:
    """What is imported inside the block finds no module of this name,
    and does what it does without it.

    For a package that is an option of another. A module that is loaded already stays.
    """
    if name in sys.modules:
        yield
        return
    # The import system reads None as "there is none".
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


@contextmanager
def hollow(*prefixes: str) -> Iterator[None]:
    """What is imported inside the block for the first time comes without the
    modules under `prefixes`.
    """
    finder = _Hollow(prefixes)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
