"""MATLAB annotation files: head points and numbers out of their nested structs.

Both GCC and ShanghaiTech keep `image_info`, a struct with `location` and `number`, ShanghaiTech inside one more cell.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from sdcda_tutorial.errors import InputError


def load_mat(path: Path, key: str) -> dict[str, Any]:
    """Variables of a .mat file (MATLAB 4 to 7.2), of which `key` must be one.

    Raises:
        InputError: no such file, not a .mat file, truncated, or without `key` (the message lists the keys there are).
    """
    try:
        variables: dict[str, Any] = scipy.io.loadmat(path)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; every image needs its annotation") from None
    except NotImplementedError:
        raise InputError(f"{path} is a MATLAB 7.3 file, which scipy cannot read; save it again with -v7") from None
    except Exception as error:  # on damaged bytes scipy's parser raises whatever it stumbles over
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is not a readable .mat file ({reason}); fetch it again") from error
    names = sorted(name for name in variables if not name.startswith("__"))
    if key not in names:
        found = ", ".join(names) or "nothing"
        raise InputError(f"{path} has no {key!r} (found: {found}); it is no annotation of this data set")
    return variables


def load_image_info(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Variables of a .mat file, and the fields of its struct `image_info`, however many 1×1 cells that is wrapped in.

    Raises:
        InputError: as in `load_mat`, or no 1×1 struct with `location` (the message lists the fields there are).
    """
    mat = load_mat(path, "image_info")
    value = mat["image_info"]
    while isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.item()
    fields = value.dtype.names if isinstance(value, np.ndarray) else None
    if not fields or "location" not in fields or value.size != 1:
        found = ", ".join(fields or ()) or "no struct"
        raise InputError(f"{path}: image_info has no 'location' (found: {found}); it is no annotation of this data set")
    return mat, {field: np.asarray(value[field]).item() for field in fields}


def points_of(path: Path, value: Any) -> np.ndarray:
    """A stored list of points as (N, 2) float64, whatever its number type; any empty array is no points.

    Integer types become floating here, before anyone subtracts: uint16 coordinates wrap around below zero.

    Raises:
        InputError: not two columns of numbers, or not all of them finite.
    """
    array = np.asarray(value)
    if array.size == 0:
        return np.zeros((0, 2))
    if array.dtype.kind not in "iuf" or array.ndim != 2 or array.shape[1] != 2:
        raise InputError(f"{path}: points should be N×2 numbers, found {array.dtype} {array.shape}; fix the file")
    points = array.astype(np.float64)
    if not np.isfinite(points).all():
        bad = int((~np.isfinite(points)).any(axis=1).sum())
        raise InputError(f"{path}: {bad} of {len(points)} points are NaN or infinite; fix the annotation")
    return points


def numbers_of(value: Any) -> list[int]:
    """The integers in a stored array, such as [hour, minute]; empty where it holds none."""
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        return []
    return [int(number) for number in array.ravel()]
