"""MATLAB files: read as scipy reads them; no damaged file ends the process or fills the memory."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from native_files import complaint, write_gcc, write_qnrf, write_shanghaitech

from sdcda_tutorial.datasets import GCC, ShanghaiTech, open_dataset
from sdcda_tutorial.datasets.check import check
from sdcda_tutorial.datasets.formats.matfiles import load_image_info, load_mat, points_of
from sdcda_tutorial.errors import InputError

XY = np.array([[3.5, 30.25], [50.0, 2.0]])
NUMBERS = st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
KEYS = st.text("abcdefgh", min_size=1, max_size=20)
ARRAYS = NUMBERS.flatmap(lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=2, max_dims=3, max_side=4)))
VALUES = st.recursive(ARRAYS, lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3), max_leaves=6)


# --- sound files ------------------------------------------------------------------------------------------------------
def same(ours: Any, theirs: Any) -> None:
    """Whether two readings agree: a struct is [{field: value}] here, and an array with named fields in scipy."""
    if isinstance(ours, np.ndarray):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape and ours.flags.writeable
        np.testing.assert_array_equal(ours, theirs)
    else:
        (fields,) = ours
        assert tuple(fields) == theirs.dtype.names and theirs.shape == (1, 1)
        for key, value in fields.items():
            same(value, theirs[key][0, 0])


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=3), st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_scipy_writes_is_read_as_scipy_reads_it(tmp_path: Path, variables: dict[str, Any], compress: bool) -> None:
    path = tmp_path / "x.mat"
    scipy.io.savemat(path, variables, do_compression=compress)
    ours, theirs = load_mat(path, next(iter(variables))), scipy.io.loadmat(path)
    assert ours.keys() == variables.keys()
    for name, value in ours.items():
        same(value, theirs[name])


def test_matlab_4(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "x.mat", {"annPoints": XY, "hole": scipy.sparse.eye(3), "text": "abc"}, format="4")
    np.testing.assert_array_equal(load_mat(tmp_path / "x.mat", "annPoints")["annPoints"], XY)
    for key in ("hole", "text"):
        complaint(lambda key=key: points_of(tmp_path, load_mat(tmp_path / "x.mat", key)[key]), "N×2 numbers")


def test_another_byte_order_and_sizes_beside_the_type(tmp_path: Path) -> None:
    """A file of a machine whose highest byte comes first, put together by hand from MATLAB's description."""
    matrix = struct.pack(">IIII", 6, 8, 6, 0) + struct.pack(">IIii", 5, 8, 1, 2)  # class double; 1×2
    matrix += struct.pack(">HH4s", 3, 1, b"abc\0") + struct.pack(">HHHH", 4, 4, 300, 7)  # its name; two uint16
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    (tmp_path / "x.mat").write_bytes(header + struct.pack(">II", 14, len(matrix)) + matrix)
    value = load_mat(tmp_path / "x.mat", "abc")["abc"]
    assert value.dtype == np.uint16 and value.tolist() == [[300, 7]]
    np.testing.assert_array_equal(value, scipy.io.loadmat(tmp_path / "x.mat")["abc"])


def test_what_is_of_no_interest_disturbs_nothing(tmp_path: Path) -> None:
    other = {"text": "abc", "sparse": scipy.sparse.eye(3), "cell": np.array([[1, "a", XY]], object), "none": {}}
    scipy.io.savemat(tmp_path / "x.mat", {**other, "annPoints": XY})
    assert load_mat(tmp_path / "x.mat", "annPoints").keys() == {*other, "annPoints"}


# --- values that are none ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("location", "found"),
    [
        (XY + 1j, "complex numbers"),
        (scipy.sparse.csc_matrix(XY), "a sparse matrix"),
        ({"x": XY}, "a cell or a struct"),
        (np.array([[1, 2], [3, "a"]], object), "a cell or a struct"),
        ("two people", "text"),
        (XY > 10, "bool"),
        (np.zeros((2, 2, 2)), "(2, 2, 2)"),
        (XY.T[:1].repeat(3, axis=1), "(1, 6)"),
    ],
)
def test_points_that_are_no_points(tmp_path: Path, location: Any, found: str) -> None:
    for key in ("location", "annPoints"):
        path = tmp_path / f"{key}.mat"
        scipy.io.savemat(path, {"image_info": {key: location}, key: location})
        value = load_image_info(path)[1][key] if key == "location" else load_mat(path, key)[key]
        complaint(lambda path=path, value=value: points_of(path, value), path, "N×2 numbers", found)


@pytest.mark.parametrize(
    "location", [np.zeros((0, 0)), np.zeros((0, 2)), "", np.zeros((0, 0), object), np.zeros((2, 0))]
)
def test_anything_empty_is_no_points(tmp_path: Path, location: Any) -> None:
    scipy.io.savemat(tmp_path / "x.mat", {"annPoints": location})
    assert points_of(tmp_path, load_mat(tmp_path / "x.mat", "annPoints")["annPoints"]).shape == (0, 2)


@pytest.mark.parametrize("stated", [2 + 1j, "two", 2.5, np.nan, np.inf, True, {"n": 2}, scipy.sparse.eye(1)])
def test_a_number_of_people_that_is_no_number(tmp_path: Path, stated: Any) -> None:
    mat = write_shanghaitech(tmp_path, 1, XY, stated=stated)
    complaint(lambda: ShanghaiTech(tmp_path)[0], mat, "number should be whole numbers")
    mat = write_gcc(tmp_path, "scene_01_0", "1534567890", XY.astype(int), stated=stated)
    complaint(lambda: GCC(tmp_path)[0], mat, "number should be whole numbers")


@pytest.mark.parametrize("stated", [-3, 2**63, 1e300])
def test_a_wrong_number_of_people_is_a_fault(tmp_path: Path, stated: Any) -> None:
    mat = write_shanghaitech(tmp_path, 1, XY, stated=stated)
    (fault,) = check("shanghaitech", tmp_path, progress=False).faults
    assert fault.path == str(mat) and f"states {int(stated)} people and holds 2" in fault.message


@pytest.mark.parametrize(
    "clock", [np.array([[18.5, 0]]), np.array([["a"]]), np.array([[np.nan, 1]]), np.array([[1j, 1]])]
)
def test_a_time_that_is_no_time(tmp_path: Path, clock: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    mat = write_gcc(tmp_path, "scene_01_0", "1534567890", XY.astype(int))
    info = {"image_info": {"location": XY, "number": 2}, "weather_info": 1}
    scipy.io.savemat(mat, {**info, "time_info": clock})
    complaint(lambda: GCC(tmp_path)[0], mat, "time_info should be whole numbers")
    complaint(lambda: GCC(tmp_path, rule="shb"), mat, "time_info should be whole numbers")


# --- damaged files ----------------------------------------------------------------------------------------------------
def seeds(root: Path) -> list[bytes]:
    """One .mat of each format, as it is and with its variables compressed."""
    rows = np.array([[3, 55], [40, 2], [7, 9]], np.int32)
    plain = [write_gcc(root, "s", "1", rows), write_shanghaitech(root, 1, XY), write_qnrf(root, 1, XY)]
    for path in plain:
        variables = {name: value for name, value in scipy.io.loadmat(path).items() if name[:2] != "__"}
        scipy.io.savemat(path.with_suffix(".packed"), variables, do_compression=True, appendmat=False)
    return [file.read_bytes() for path in plain for file in (path, path.with_suffix(".packed"))]


def mutations(files: list[bytes], number: int) -> Iterator[bytes]:
    """Each with one to three wounds after its header, half of the compressed ones below the compression."""
    draw = np.random.default_rng(0)
    odd = [0, 1, 2, 3, 4, 5, 8, 9, 14, 15, 16, 17, 18, 127, 128, 255]
    for index in range(number):
        data = bytearray(files[index % len(files)])
        (kind, size), below = struct.unpack_from("<II", data, 128), draw.random() < 0.5
        if packed := kind == 15 and below:
            data = data[:128] + zlib.decompress(data[136 : 136 + size])
        for _ in range(draw.integers(1, 4)):
            at = int(draw.integers(128, len(data)))
            match draw.integers(6):
                case 0:
                    data[at : at + draw.integers(1, 16)] = b""
                case 1:
                    data[at:at] = draw.bytes(8)
                case 2:
                    at -= at % 4
                    data[at : at + 4] = struct.pack("<I", draw.choice([0, 1, 8, 14, 15, 2**31 - 1, 2**31, 2**32 - 1]))
                case _:
                    data[at] = draw.choice(odd)
            data = data if len(data) > 140 else bytearray(files[0])
        if packed:
            squeezed = zlib.compress(bytes(data[128:]))
            data = data[:128] + struct.pack("<II", 15, len(squeezed)) + squeezed
        yield bytes(data)


def read_all(files: list[Path]) -> None:
    for path in files:
        for key in ("image_info", "annPoints"):
            try:
                value = load_image_info(path)[1]["location"] if key == "image_info" else load_mat(path, key)[key]
                points_of(path, value)
            except InputError as error:
                assert str(path) in str(error) and "\n" not in str(error) and len(str(error)) < 600


def test_no_damage_ends_the_process(tmp_path: Path, start: Callable[..., Any]) -> None:
    files = []
    for index, data in enumerate(mutations(seeds(tmp_path), 600)):
        files.append(tmp_path / f"{index}.mat")
        files[-1].write_bytes(data)
    process = start(read_all, files)
    process.join()
    assert process.exitcode == 0  # a signal is negative: scipy's reader dies of about two in a hundred of these


def damaged(mat: Path, old: bytes, new: bytes) -> None:
    data = mat.read_bytes()
    assert old in data
    mat.write_bytes(data.replace(old, new))


@pytest.mark.parametrize("type_", [0, 8, 11, 15, 19, 250, 65535])
def test_an_impossible_type_is_a_fault_of_that_file(tmp_path: Path, type_: int, start: Callable[..., Any]) -> None:
    for number in (1, 2, 3):
        mat = write_shanghaitech(tmp_path, number, XY)
    damaged(mat, struct.pack("<II", 9, XY.nbytes), struct.pack("<II", type_, XY.nbytes))
    process = start(check, "shanghaitech", tmp_path)
    process.join()
    assert process.exitcode == 0
    report = check("shanghaitech", tmp_path, progress=False)
    assert [one.path for one in report.faults] == [str(mat)] and report.opened == 3
    complaint(lambda: list(open_dataset(f"shanghaitech:{tmp_path}")), mat, "not a readable .mat")


def element(type_: int, body: bytes) -> bytes:
    return struct.pack("<II", type_, len(body)) + body + bytes(-len(body) % 8)


def mat_of(*elements: bytes) -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(elements)


def matrix(class_: int, shape: tuple[int, ...], *parts: bytes, name: bytes = b"annPoints") -> bytes:
    about = element(6, struct.pack("<II", class_, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, about + element(1, name) + b"".join(parts))


def nested(depth: int) -> bytes:
    inner = matrix(6, (0, 0), element(9, b""))
    for _ in range(depth):
        inner = matrix(1, (1, 1), inner)
    return inner


@pytest.mark.parametrize(
    "data",
    [
        mat_of(matrix(6, (2**31 - 1, 2**31 - 1), element(9, XY.tobytes()))),
        mat_of(matrix(6, (-2, -2), element(9, XY.tobytes()))),
        mat_of(matrix(6, (2, 2), element(9, XY.tobytes()[:-1]))),
        mat_of(matrix(6, (2, 2))),
        mat_of(matrix(6, (2, 2), element(9, XY.tobytes()), element(9, XY.tobytes()))),
        mat_of(matrix(6, (), element(9, XY.tobytes()))),
        mat_of(matrix(1, (10**5, 10**5))),
        mat_of(matrix(2, (10**5, 10**5), element(5, bytes(4)), element(1, b""))),
        mat_of(matrix(2, (1, 1), element(5, struct.pack("<i", 4)), element(1, b"abcd" * 2), *[nested(0)] * 2)),
        mat_of(nested(3000)),
        mat_of(element(15, zlib.compress(nested(0))[:-4])),
        mat_of(element(15, zlib.compress(nested(0) * 2))),
        mat_of(element(15, zlib.compress(b""))),
        mat_of(nested(0), nested(0)),
        mat_of(element(9, XY.tobytes())),
        mat_of(struct.pack("<II", 14, 2**32 - 1)),
        mat_of(b"\x0e\0\0"),
        mat_of()[:126],
        b"",
    ],
    ids=range(19),
)
def test_files_that_contradict_themselves(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.mat"
    path.write_bytes(data)
    complaint(lambda: points_of(path, load_mat(path, "annPoints")["annPoints"]), path)


def test_no_file_takes_the_memory(tmp_path: Path) -> None:
    deflate = zlib.compressobj(1)
    bomb = b"".join([deflate.compress(bytes(2**20)) for _ in range(80)] + [deflate.flush()])
    path = tmp_path / "x.mat"
    path.write_bytes(mat_of(element(15, bomb)))
    assert path.stat().st_size < 2**20
    complaint(lambda: load_mat(path, "annPoints"), path, "more than 64 MiB when unpacked")
    with open(path, "ab") as file:
        file.truncate(10 * 2**30)  # without a block on the disk
    complaint(lambda: load_mat(path, "annPoints"), path, "more than 64 MiB")


def test_variables_may_be_compressed_one_by_one(tmp_path: Path) -> None:
    """After compressed bytes of an odd number the next variable is not aligned."""
    from scipy.io.matlab._mio5 import MatFile5Writer

    for length in range(1, 12):
        with open(tmp_path / "x.mat", "wb") as file:
            MatFile5Writer(file, do_compression=True).put_variables({"first": np.arange(length * 7.0)[None]})
            MatFile5Writer(file, do_compression=False).put_variables({"annPoints": np.ones((3, 2))}, write_header=False)
        assert load_mat(tmp_path / "x.mat", "annPoints")["annPoints"].tolist() == [[1, 1]] * 3
