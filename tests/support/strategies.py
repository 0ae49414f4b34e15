"""Hypothesis strategies for frames, made from the frames' own definitions, and for ways to cut bytes."""

from functools import reduce
from typing import TypeVar

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from qscp import frames

__all__ = [
    "OBJECTS",
    "client_frames",
    "empty",
    "frames_of",
    "json_values",
    "server_frames",
    "smallest",
    "splits",
    "texts",
    "values_of",
]

OBJECTS: tuple[type[frames.Part], ...] = tuple(set(frames.Part.__subclasses__()) - {frames.Frame})
"""Objects inside frames."""

AnyStruct = TypeVar("AnyStruct", bound=msgspec.Struct)


def texts(max_size: int = 40) -> st.SearchStrategy[str]:
    """Generate any text that has a UTF-8 form."""
    return st.text(st.characters(codec="utf-8"), max_size=max_size)


def json_values() -> st.SearchStrategy[object]:
    """Generate any value that JSON can hold."""
    leaves = (
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts()
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts(), inner, max_size=4),
        max_leaves=8,
    )


def values_of(  # noqa: C901, PLR0911 - a case for each kind of type
    kind: inspect.Type,
) -> st.SearchStrategy[object]:
    """Generate values of a field's type."""
    match kind:
        case inspect.StrType(max_length=most):
            return texts() if most is None else texts(min(most, 40))
        case inspect.IntType(ge=low, le=high):
            return st.integers(low, high)
        case inspect.FloatType(ge=low):
            return st.floats(low, allow_nan=False, allow_infinity=False)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case inspect.EnumType(cls=cls):
            return st.sampled_from(list(cls))
        case inspect.ListType(item_type=item):
            return st.lists(values_of(item), max_size=5)
        case inspect.VarTupleType(item_type=item):
            return st.lists(values_of(item), max_size=5).map(tuple)
        case inspect.TupleType(item_types=items):
            return st.tuples(*map(values_of, items))
        case inspect.StructType(cls=cls):
            return frames_of(cls)
        case inspect.UnionType(types=types):
            return st.one_of([values_of(each) for each in types])
    raise NotImplementedError(kind)


def frames_of(cls: type[AnyStruct]) -> st.SearchStrategy[AnyStruct]:
    """Generate frames, or parts of frames, of one class, with and without fields that have a default."""
    kind = inspect.type_info(cls)
    assert isinstance(kind, inspect.StructType)
    required = {field.name: values_of(field.type) for field in kind.fields if field.required}
    optional = {field.name: values_of(field.type) for field in kind.fields if not field.required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda values: cls(**values))


def empty(kind: inspect.Type) -> object:  # noqa: PLR0911 - a case for each kind of type
    """Return the smallest JSON value of a type: false, 0, an empty text or list, only required fields."""
    match kind:
        case inspect.StrType():
            return ""
        case inspect.IntType() | inspect.FloatType():
            return kind.ge or 0
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.BoolType():
            return False
        case inspect.EnumType():
            return next(iter(kind.cls)).value
        case inspect.ListType():
            return []
        case inspect.StructType():
            return {field.encode_name: empty(field.type) for field in kind.fields if field.required}
    raise NotImplementedError(kind)


def smallest(cls: type[AnyStruct]) -> AnyStruct:
    """Return a frame with the smallest value in each required field and defaults in the others."""
    return msgspec.convert(empty(inspect.type_info(cls)), cls)


def client_frames() -> st.SearchStrategy[frames.ClientFrame]:
    """Generate any frame that a client sends."""
    return st.one_of([frames_of(cls) for cls in frames.CLIENT_FRAMES])


def server_frames() -> st.SearchStrategy[frames.ServerFrame]:
    """Generate any frame that a server sends."""
    return st.one_of([frames_of(cls) for cls in frames.SERVER_FRAMES])


@st.composite
def splits(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Cut bytes anywhere into pieces, some of them empty."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    ends = [*places, len(data)]
    return reduce(lambda pieces, end: [*pieces, data[sum(map(len, pieces)) : end]], ends, list[bytes]())
