"""Frozen values with named fields: what messages, effects and options are made of.

In: a class body with annotated names. Out: a class whose instances are built from them in that
order, compared and hashed by them, and never changed. To a type checker it is a frozen dataclass::

    class Want(Record):
        object_id: bytes
        hidden: bool = False

It is one for people too, except that nothing is compiled when the class is made: the standard
library's writes and compiles source for each class, which took a third of the start of
``gitserve upload-pack``, and needs :mod:`inspect` and :mod:`re` for it. That is also why modules on
that path import :mod:`typing` for the type checker only.

Annotations must be text (``from __future__ import annotations``). There is no default factory: a
default is shared by all instances, so it must be a value that cannot change.
"""

from __future__ import annotations

from types import MappingProxyType

TYPE_CHECKING = False
"""True for type checkers; :mod:`typing` has the same, at the price of its import."""

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from inspect import Signature
    from typing import Any, Self, dataclass_transform
    from typing import Protocol as Protocol
else:
    Protocol = object  # nobody asks an object whether it has the shape of one

    def dataclass_transform(**_options: bool) -> Callable[[type], type]:
        return lambda cls: cls


EMPTY: Mapping[Any, Any] = MappingProxyType({})
"""A default for fields that are mappings."""


class _RecordType(type):
    """Makes a slot of each annotated name."""

    _fields: tuple[str, ...]
    _defaults: dict[str, object]
    _setters: tuple[Callable[[object, object], None], ...]

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> _RecordType:
        own = tuple(namespace.get("__annotations__", ()))
        defaults = {field: namespace.pop(field) for field in own if field in namespace}
        for field, default in defaults.items():
            if isinstance(default, (list, dict, set, bytearray)):
                raise TypeError(f"{name}.{field}: its default could change")
        fields = own
        inherited = next((base for base in bases if isinstance(base, _RecordType)), None)
        if inherited is not None:
            fields = inherited._fields + own
            defaults = inherited._defaults | defaults
        # dataclasses' rule, so that what a type checker thinks of the fields' order is true
        have = [field in defaults for field in fields]
        if have != sorted(have):
            raise TypeError(f"{name}: a field without a default follows one with")
        made = super().__new__(cls, name, bases, {**namespace, "__slots__": own})
        made._fields, made._defaults = fields, defaults
        # the slots' own setters: objects refuse to be changed in any other way
        made._setters = tuple([getattr(made, field).__set__ for field in fields])
        type.__setattr__(made, "__match_args__", fields)
        return made

    @property
    def __signature__(cls) -> Signature:
        """For ``help()``."""
        from inspect import Parameter, Signature

        kind, empty = Parameter.POSITIONAL_OR_KEYWORD, Parameter.empty
        parameters = [
            Parameter(field, kind, default=cls._defaults.get(field, empty)) for field in cls._fields
        ]
        return Signature(parameters)


@dataclass_transform(frozen_default=True)
class Record(metaclass=_RecordType):
    """A frozen value; see the module."""

    def __init__(self, *values: object, **named: object) -> None:
        cls = type(self)
        if named or len(values) != len(cls._fields):
            values = _complete(cls, values, named)
        for put, value in zip(cls._setters, values, strict=True):
            put(self, value)

    def but(self, **changes: object) -> Self:
        """The same with other values in some fields."""
        return type(self)(**dict(zip(type(self)._fields, _values(self), strict=True)) | changes)

    __replace__ = but  # copy.replace()

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: cannot set {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: cannot delete {name!r}")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return _values(self) == _values(other)

    def __hash__(self) -> int:
        return hash(_values(self))

    def __repr__(self) -> str:
        cls = type(self)
        pairs = zip(cls._fields, _values(self), strict=True)
        return f"{cls.__qualname__}({', '.join([f'{name}={value!r}' for name, value in pairs])})"

    def __reduce__(self) -> tuple[type[Record], tuple[object, ...]]:
        return type(self), _values(self)


def compile_constructors() -> None:
    """Gives every class that there is an ``__init__`` of its own, as the standard library's have.

    For a process that lives long: it halves what an instance costs, and takes some 10 ms.
    """
    waiting = Record.__subclasses__()
    while waiting:
        made = waiting.pop()
        waiting += made.__subclasses__()
        if "__init__" in vars(made):
            continue
        puts = zip(made._fields, made._setters, strict=True)
        names: dict[str, object] = {f"_put_{name}": put for name, put in puts}
        names |= {f"_{name}": default for name, default in made._defaults.items()}
        given = [f"{name}=_{name}" if name in made._defaults else name for name in made._fields]
        body = "; ".join(f"_put_{name}(self, {name})" for name in made._fields) or "pass"
        exec(f"def __init__({', '.join(['self', *given])}): {body}", names)  # noqa: S102 - our fields
        type.__setattr__(made, "__init__", names["__init__"])


def _values(record: object) -> tuple[object, ...]:
    return tuple([getattr(record, field) for field in type(record)._fields])  # type: ignore[attr-defined]


def _complete(
    cls: _RecordType, values: tuple[object, ...], named: dict[str, object]
) -> tuple[object, ...]:
    """One value a field, from what was given by place, by name, or by default."""
    fields = cls._fields
    filled = cls._defaults.copy()
    filled.update(zip(fields, values, strict=False))
    filled.update(named)
    if (
        len(filled) != len(fields)
        or len(values) > len(fields)
        or not named.keys().isdisjoint(fields[: len(values)])
    ):
        raise TypeError(
            f"{cls.__name__}({', '.join(fields)}): {len(values)} values and the names"
            f" {', '.join(named) or '(none)'} do not fit"
        )
    try:
        return tuple([filled[field] for field in fields])
    except KeyError:
        raise TypeError(f"{cls.__name__} has no field of a name in {', '.join(named)}") from None
