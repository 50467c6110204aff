"""MATLAB annotation files: head points and numbers out of their nested structs.

Both GCC and ShanghaiTech keep `image_info`, a struct with `location` and `number`, ShanghaiTech inside one more cell.

Files of MATLAB 5 to 7.2 are read here and not by scipy, which trusts the sizes and types that a file states: one wrong
byte in them can end the whole process, without a word about the file. Here every element is a slice of the one around
it, so that nothing outside the file is ever looked at.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import regular_file

_LARGEST = 2**26  # bytes of a file, also when it is unpacked: four million points
_TOO_LARGE = f"more than {_LARGEST >> 20} MiB"
_MATRIX, _COMPRESSED = 14, 15  # types of elements; those of numbers are
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CELL, _STRUCT, _OPAQUE = 1, 2, 17  # classes of matrices; 6 to 15 are numbers, and the others are not read:
_OTHERS = {3: "an object", 4: "text", 5: "a sparse matrix"}
_COMPLEX, _LOGICAL = 0x800, 0x200  # flags beside the class
_EMPTY = np.zeros((0, 0))


def load_mat(path: Path, key: str) -> dict[str, Any]:
    """Variables of a .mat file (MATLAB 4 to 7.2), of which `key` must be one.

    Numbers are arrays. A cell is the list of its values, a struct the list of its elements, each a dictionary. Of all
    else (complex numbers, text, a sparse matrix, an object) there is only the name, or an empty array if it is empty.

    Raises:
        InputError: no such file, not a .mat file, damaged, far too large for an annotation, or without `key` (the
            message lists the variables there are).
    """
    try:
        with open(regular_file(path), "rb") as file:
            data = file.read(_LARGEST + 1)
        variables = _variables(data)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; every image needs its annotation") from None
    except NotImplementedError:
        raise InputError(f"{path} is a MATLAB 7.3 file, which cannot be read here; save it again with -v7") from None
    except InputError:
        raise
    except Exception as error:  # on damaged bytes numpy, zlib and scipy raise whatever they stumble over
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is not a readable .mat file ({reason}); fetch it again") from error
    if key not in variables:
        found = ", ".join(sorted(variables)) or "nothing"
        raise InputError(f"{path} has no {key!r} (found: {found[:200]}); it is no annotation of this data set")
    return variables


def load_image_info(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Variables of a .mat file, and the fields of its struct `image_info`, however many 1×1 cells that is wrapped in.

    Raises:
        InputError: as in `load_mat`, or no 1×1 struct with `location` (the message lists the fields there are).
    """
    mat = load_mat(path, "image_info")
    value = mat["image_info"]
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict) or "location" not in value:
        found = ", ".join(value) if isinstance(value, dict) else "no struct"
        raise InputError(
            f"{path}: image_info has no 'location' (found: {found[:200]}); it is no annotation of this data set"
        )
    return mat, value


def points_of(path: Path, value: Any) -> np.ndarray:
    """A stored list of points as (N, 2) float64, whatever its number type; anything empty is no points.

    Integer types become floating here, before anyone subtracts: uint16 coordinates wrap around below zero.

    Raises:
        InputError: not two columns of numbers, or not all of them finite.
    """
    if len(value) == 0 or (isinstance(value, np.ndarray) and value.size == 0):
        return np.zeros((0, 2))
    if not _is_real(value) or value.ndim != 2 or value.shape[1] != 2:
        raise InputError(f"{path}: points should be N×2 numbers, found {_called(value)}; fix the file")
    points: np.ndarray = value.astype(np.float64)
    if not np.isfinite(points).all():
        bad = int((~np.isfinite(points)).any(axis=1).sum())
        raise InputError(f"{path}: {bad} of {len(points)} points are NaN or infinite; fix the annotation")
    return points


def numbers_of(path: Path, fields: dict[str, Any], key: str) -> list[int]:
    """The integers in the field `key`, such as [hour, minute]; empty where there is no such field or nothing in it.

    Raises:
        InputError: there is something else than whole numbers.
    """
    value = fields.get(key, _EMPTY)
    if len(value) == 0:
        return []
    if not _is_real(value) or (value.dtype.kind == "f" and (np.isinf(value) | (value != np.rint(value))).any()):
        raise InputError(f"{path}: {key} should be whole numbers, found {_called(value)}; fix the file")
    return [int(number) for number in value.ravel()]


def save_image_info(path: Path, points: np.ndarray) -> None:
    """Write (N, 2) points (x, y) and their number as ShanghaiTech has them: a struct in a cell."""
    path.write_bytes(image_info(points))


def image_info(points: np.ndarray) -> bytes:
    """The content of the file that `save_image_info` writes."""
    record = np.empty((1, 1), dtype=[("location", object), ("number", object)])
    record[0, 0] = points, np.array([[len(points)]], np.uint32)
    cell = np.empty((1, 1), dtype=object)
    cell[0, 0] = record
    return mat_file({"image_info": cell})


def mat_file(variables: dict[str, Any]) -> bytes:
    """Variables as a .mat file without its date of creation: what holds the same is the same file, at any time.

    Data is known by digests of its files, and a mini world that is drawn again is the same one.
    """
    from scipy.io import savemat

    file = io.BytesIO()
    savemat(file, variables)
    file.seek(0)
    file.write(b"MATLAB 5.0 MAT-file, written by sdcda_tutorial".ljust(116))  # MATLAB's field for any text
    return file.getvalue()


def _is_real(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "iuf"


def _called(value: Any) -> str:
    """What a value is, for a message."""
    if isinstance(value, np.ndarray):
        few = f": {value.ravel().tolist()}" if value.size < 4 else ""
        return f"{value.dtype} {value.shape}{few}"
    return "a cell or a struct" if isinstance(value, list) else str(value)


# --- the file ---------------------------------------------------------------------------------------------------------
def _variables(data: bytes) -> dict[str, Any]:
    """Variables by name. On damaged data anything may be raised, mostly ValueError."""
    if len(data) > _LARGEST:
        raise ValueError(_TOO_LARGE)
    if 0 in data[:4]:  # MATLAB 4, plain arrays only; scipy reads these in Python
        import scipy.io

        stored = scipy.io.loadmat(io.BytesIO(data)).items()
        return {
            name: value if isinstance(value, np.ndarray) else _OTHERS[5] for name, value in stored if name[:2] != "__"
        }
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128], "")
    (version,) = struct.unpack_from(f"{order}H", data, 124)
    if not order or version >> 8 not in (1, 2):
        raise ValueError("it does not begin as one")
    if version >> 8 == 2:
        raise NotImplementedError("HDF5")
    variables: dict[str, Any] = {}
    left = _LARGEST
    for kind, body in _elements(memoryview(data)[128:], order):
        if kind == _COMPRESSED:
            unpacked = _unpack(body, left)
            left -= len(unpacked)
            ((kind, body),) = _elements(memoryview(unpacked), order)
        if kind != _MATRIX:
            raise ValueError(f"an element of type {kind} where a variable should be")
        name, value = _matrix(body, order)
        if name in variables:
            raise ValueError(f"two variables are called {name!r}")
        variables[name] = value
    variables.pop("", None)  # where MATLAB keeps the properties of objects
    return variables


def _unpack(body: memoryview, most: int) -> bytes:
    inflate = zlib.decompressobj()
    unpacked = inflate.decompress(body, most + 1)
    if len(unpacked) > most:
        raise ValueError(f"{_TOO_LARGE} when unpacked")
    if not inflate.eof:
        raise ValueError("its compressed data is cut off")
    return unpacked


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and content of each element in a part of the file."""
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        start, end = at + 8, len(data)
        if kind >> 16:  # at most four bytes, which lie where the size would be
            kind, size, start, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        if size > end - start:
            raise ValueError(f"an element of {size} bytes in a place for {end - start}")
        yield kind, data[start : start + size]
        at = end if end == at + 8 else start + size + (0 if kind == _COMPRESSED else -size % 8)


def _matrix(body: memoryview, order: str) -> tuple[str, Any]:
    """Name and value of a matrix, as `load_mat` describes them."""
    if not body:
        return "", _EMPTY
    (_, about), *parts = _elements(body, order)
    flags, _ = struct.unpack(f"{order}II", about)
    kind = flags & 0xFF
    if kind == _OPAQUE:  # which alone has no dimensions
        return _text(parts[0][1]), _OTHERS[3]
    (_, dimensions), (_, name), *parts = parts
    shape = np.frombuffer(dimensions, f"{order}i4").tolist()
    if min(shape) < 0:
        raise ValueError(f"a side of {min(shape)}")
    if 6 <= kind <= 15:
        return _text(name), _numbers(parts, order, shape, flags)
    if kind not in (_CELL, _STRUCT):
        return _text(name), _OTHERS.get(kind, f"class {kind}") if math.prod(shape) else _EMPTY
    keys = None
    if kind == _STRUCT:
        (_, length), (_, names), *parts = parts
        (step,) = struct.unpack(f"{order}i", length)
        keys = [_text(names[start : start + step]) for start in range(0, len(names), step)]
        if len(set(keys)) < len(keys):
            raise ValueError("two fields of one name")
    if any(one != _MATRIX for one, _ in parts) or len(parts) != math.prod(shape) * (1 if keys is None else len(keys)):
        raise ValueError(f"{len(parts)} values in a cell or struct of {shape}")
    values = [_matrix(part, order)[1] for _, part in parts]
    if keys is None:
        return _text(name), values
    return _text(name), [dict(zip(keys, one, strict=True)) for one in zip(*[iter(values)] * len(keys), strict=True)]


def _numbers(parts: list[tuple[int, memoryview]], order: str, shape: list[int], flags: int) -> Any:
    """The array in `parts`, in this machine's byte order; the imaginary part of a complex one is a second part."""
    arrays = [np.frombuffer(part, order + _NUMBERS[kind]).reshape(shape, order="F") for kind, part in parts]
    if len(arrays) != 1 + bool(flags & _COMPLEX):
        raise ValueError(f"{len(arrays)} arrays in one matrix")
    if flags & _COMPLEX:
        return "complex numbers"
    return arrays[0].astype(bool if flags & _LOGICAL else arrays[0].dtype.newbyteorder("="))


def _text(stored: memoryview) -> str:
    """A name, as long as it is or up to the first zero byte."""
    return bytes(stored).partition(b"\0")[0].decode("latin-1")
