"""How soon a command begins: which modules it loads, and that `doctor` answers without them what they would say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from command_line import ran, run
from PIL import Image

from sdcda_tutorial import places
from sdcda_tutorial.cli import doctor

ROOT = Path(__file__).parents[2]
SLOW = {  # to import
    "torch", "torchvision", "torchmetrics", "lightning_fabric", "matplotlib", "seaborn", "pandas", "ipywidgets",
    "IPython", "scipy.ndimage", "scipy.sparse", "scipy.spatial", "scipy.stats",
}  # fmt: skip
LOADED = """
import json, sys
from sdcda_tutorial.cli import main
try:
    main(sys.argv[2:])
finally:
    open(sys.argv[1], "w").write(json.dumps(list(sys.modules)))
"""


def slow_modules(folder: Path, *command: str) -> set[str]:
    """The slow ones among the modules that a command loads in a process of its own."""
    loaded = folder / "loaded.json"
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(loaded), *command],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return SLOW & set(json.loads(loaded.read_text()))


@pytest.mark.parametrize("command", ["--help", "train --help", "predict --help", "demo --help"])
def test_help_loads_nothing_slow(command: str, tmp_path: Path) -> None:
    assert slow_modules(tmp_path, *command.split()) == set()


@pytest.mark.slow
def test_predict_loads_of_the_slow_modules_torch_only(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 56, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    assert slow_modules(tmp_path, "predict", "photo.png", "--region", "0,0,20,20", "--save-map") == {"torch"}
    assert (tmp_path / "build/predictions/photo.png").is_file()


def test_doctor_loads_torch_only_where_the_system_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "torch", raising=False)
        asked = doctor._torch_knows_more()
    assert slow_modules(tmp_path, "doctor") == ({"torch"} if asked else set())


@pytest.mark.skipif(not doctor.CPUINFO.is_file(), reason="elsewhere torch is asked")
def test_the_system_says_of_the_processor_what_torch_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch

    from sdcda_tutorial.training.hardware import cpu_has_bf16

    new = tuple(map(int, torch.__version__.split(".")[:2])) >= doctor.ASKS_FOR_BF16
    if new and not {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"} & os.environ.keys():
        assert doctor._flags_say_bf16() == cpu_has_bf16()
    assert torch.cuda.is_available() <= doctor._torch_knows_more()
    monkeypatch.setattr(doctor, "CPUINFO", tmp_path / "cpuinfo")
    cases = {"flags\t\t: fpu avx512_bf16 sse\n": True, "flags : avx2 avx512f\n": False, "Features : bf16\n": False}
    for text, said in cases.items():
        doctor.CPUINFO.write_text("processor\t: 0\n" + text)
        assert doctor._flags_say_bf16() == said


def test_doctor_asks_torch_where_a_driver_an_amd_build_or_a_limit_may_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(doctor, "CPUINFO", ROOT / "README.md")  # any file: it is only asked whether there is one
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    drivers: list[str] = []

    def load(name: str) -> None:
        if name not in drivers:
            raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(doctor.ctypes, "CDLL", load)
    monkeypatch.setattr(doctor, "version", lambda name: "2.14.1+cpu")
    assert not doctor._torch_knows_more()
    drivers.append("libcuda.so.1")
    assert doctor._torch_knows_more()
    drivers.clear()
    for change in (
        lambda patch: patch.setattr(doctor, "version", lambda name: "2.9.0+rocm6.4"),
        lambda patch: patch.setattr(doctor, "version", lambda name: "2.6.0"),
        lambda patch: patch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2"),
        lambda patch: patch.setattr(doctor, "CPUINFO", ROOT / "nosuch"),
    ):
        with monkeypatch.context() as patch:
            change(patch)
            assert doctor._torch_knows_more()


def test_doctor_imports_all_packages_on_request(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "seaborn.py").write_text("raise ImportError('a library is missing\\nand more')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "seaborn", raising=False)
    monkeypatch.setattr(doctor, "PACKAGES", ("numpy", "seaborn"))
    assert isinstance(doctor.find_spec("seaborn"), ModuleSpec)
    assert "[FAIL]" not in ran("doctor")
    done = run("doctor", "--imports")
    failed = "[FAIL] seaborn {} does not import: a library is missing -> pip install seaborn\n"
    assert (done.code, done.out.splitlines(keepends=True)[-1]) == (1, failed.format(doctor.version("seaborn")))


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n", None])
def test_doctor_names_a_model_that_is_not_whole(
    content: bytes | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "se+fd.safetensors"
    broken.write_bytes(places.model("se+fd").read_bytes()[:-9] if content is None else content)
    monkeypatch.setattr(places, "model", lambda name: broken)
    check = doctor._models()
    assert not check.ok and str(broken) in check.text and "restore it" in check.mend


def test_a_torch_that_does_not_import_fails_where_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ())
    monkeypatch.setattr(doctor, "_torch_knows_more", lambda: True)
    monkeypatch.setitem(sys.modules, "torch", None)
    done = run("doctor")
    (failed,) = (line for line in done.out.splitlines() if line.startswith("[FAIL]"))
    assert done.code == 1 and failed.startswith(f"[FAIL] torch {doctor.version('torch')} does not import: ")
