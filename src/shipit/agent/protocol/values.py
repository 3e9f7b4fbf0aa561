"""Frozen dataclasses that are made quickly, for modules with many of them.

`dataclasses` writes and compiles six methods for each class, which takes a third of a millisecond
at each start of each program. Here only `__init__` is made for each; the others are shared. For a
type checker it is `dataclasses.dataclass` itself.
"""

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, Tuple

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 - exported
else:

    def dataclass(*, frozen: bool) -> Any:
        """Return the decorator `dataclasses.dataclass(frozen=True)`, which it is like."""
        assert frozen  # noqa: S101 - a slip of the programmer
        return _frozen


def _frozen(cls: type) -> type:
    dataclasses.dataclass(eq=False, repr=False)(cls)
    for name in ("__eq__", "__hash__", "__repr__", "__setattr__", "__delattr__"):
        if name not in cls.__dict__:
            setattr(cls, name, _Shared.__dict__[name])
    return cls


class _Shared:
    """The methods of all of them; `__dataclass_fields__` is set by `dataclasses`."""

    __dataclass_fields__: ClassVar[Any]

    def __eq__(self, other: object) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return _compared(self) == _compared(other)

    def __hash__(self) -> int:
        return hash(_compared(self))

    def __repr__(self) -> str:
        shown = (each.name for each in dataclasses.fields(self) if each.repr)
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
        return f"{self.__class__.__qualname__}({values})"

    def __setattr__(self, name: str, value: object) -> None:
        """Set a field once, as `__init__` does."""
        if name in self.__dict__ or name not in self.__dataclass_fields__:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        self.__dict__[name] = value

    def __delattr__(self, name: str) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _compared(value: Any) -> Tuple[Any, ...]:
    return tuple(getattr(value, each.name) for each in dataclasses.fields(value) if each.compare)
