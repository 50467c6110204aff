"""Installed without the repository: what source distribution and wheel hold, and commands that run from any folder.

Both are built here, without a network, by the setuptools that is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from sdcda_tutorial import __version__
from sdcda_tutorial.places import MODELS, model

ROOT = Path(__file__).parents[1]
PHOTO = Image.effect_noise((96, 64), 80).convert("RGB")


def test_the_newest_changes_are_those_of_this_version() -> None:
    titles = re.findall(r"^## (\S+) \(\d{4}-\d\d-\d\d\)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.M)
    assert titles[0] == __version__ and titles == sorted(titles, reverse=True)


def tracked() -> list[str]:
    """The files of the repository; of an unpacked source distribution, which is no repository, this test is skipped."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no git repository here, whose files could be compared")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if (ROOT / name).is_file()]


@dataclass(frozen=True)
class Built:
    """A source distribution, unpacked, and the wheel that was built of it, unpacked where Python would install it."""

    source: Path
    site: Path


def build(project: Path, kind: str, out: Path) -> Path:
    code = f"import sys; from setuptools import build_meta; print('\\n' + build_meta.build_{kind}(sys.argv[1]))"
    run = subprocess.run([sys.executable, "-c", code, out], cwd=project, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return out / run.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder, names = tmp_path_factory.mktemp("built"), tracked()
    for name in names:
        (folder / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "project" / name)
    for junk in ("data/mini/manifest.json", "notebooks/.ipynb_checkpoints/a.ipynb", "tests/__pycache__/a.pyc"):
        (folder / "project" / junk).parent.mkdir(parents=True, exist_ok=True)
        (folder / "project" / junk).touch()
    with tarfile.open(build(folder / "project", "sdist", folder)) as archive:
        archive.extractall(folder / "sdist", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (source,) = (folder / "sdist").iterdir()
    with zipfile.ZipFile(build(source, "wheel", folder)) as archive:
        archive.extractall(folder / "site")
    return Built(source, folder / "site")


@dataclass(frozen=True)
class User:
    """Somebody who installed the wheel, and works in a folder of their own, in a home that nothing has used."""

    home: Path
    site: Path

    def runs(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        unwanted = ("XDG_CACHE_HOME", "PYTHONPATH")
        environment = {name: value for name, value in os.environ.items() if name not in unwanted}
        environment |= {"PYTHONPATH": str(self.site), "HOME": str(self.home), "LOCALAPPDATA": str(self.home)}
        return subprocess.run(
            [sys.executable, *arguments], cwd=self.home / "photos", env=environment, capture_output=True, text=True
        )

    def sdcda(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.runs("-m", "sdcda_tutorial", *arguments)


@pytest.fixture
def user(built: Built, tmp_path: Path) -> User:
    (tmp_path / "photos").mkdir()
    PHOTO.save(tmp_path / "photos" / "photo.jpg")
    return User(tmp_path, built.site)


@pytest.mark.slow
@pytest.mark.alone
def test_the_source_distribution_holds_the_repository(built: Built) -> None:
    """A file that is missing here belongs into MANIFEST.in."""
    found = {path.relative_to(built.source).as_posix() for path in built.source.rglob("*") if path.is_file()}
    made = {name for name in found if name.startswith(("sdcda_tutorial.egg-info/", "build/"))}
    assert found - made - {"PKG-INFO", "setup.cfg"} == set(tracked())


@pytest.mark.slow
@pytest.mark.alone
def test_the_wheel_holds_the_package_and_its_models(built: Built) -> None:
    assert {path.name for path in built.site.iterdir()} == {"sdcda_tutorial", f"sdcda_tutorial-{__version__}.dist-info"}
    copies = {path.stem: path.read_bytes() for path in (built.site / "sdcda_tutorial" / "models").iterdir()}
    assert copies == {name: model(name).read_bytes() for name in MODELS}
    package = ROOT / "sdcda_tutorial"
    ours = {Path(name).relative_to("sdcda_tutorial") for name in tracked() if name.startswith("sdcda_tutorial/")}
    theirs = {path.relative_to(built.site / "sdcda_tutorial") for path in (built.site / "sdcda_tutorial").rglob("*.*")}
    assert theirs == ours | {Path("models", f"{name}.safetensors") for name in MODELS}
    assert all((built.site / "sdcda_tutorial" / file).read_bytes() == (package / file).read_bytes() for file in ours)


@pytest.mark.slow
@pytest.mark.alone
def test_commands_run_from_any_folder_without_a_clone(user: User) -> None:
    where = user.runs("-c", "import sdcda_tutorial; print(sdcda_tutorial.__file__)").stdout
    assert Path(where.strip()) == user.site / "sdcda_tutorial" / "__init__.py"

    doctor = user.sdcda("doctor")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert f"trained models ({', '.join(MODELS)}) are in {user.site / 'sdcda_tutorial' / 'models'}\n" in doctor.stdout
    (world,) = re.findall(r"the mini world will be drawn into (.+) by the first command that needs it", doctor.stdout)
    assert user.home in Path(world).parents and user.home / "photos" not in Path(world).parents

    counted = user.sdcda("predict", "photo.jpg")
    assert counted.returncode == 0, counted.stderr
    assert re.fullmatch(r"photo\.jpg: [\d.]+ people, .*photo\.png\n", counted.stdout)
    assert "  source    mini world, 400 images" in counted.stderr
    named = ROOT / "data" / "checkpoints" / "se+fd.safetensors"
    assert user.sdcda("predict", "photo.jpg", "--checkpoint", str(named)).stdout == counted.stdout

    helped = user.sdcda("demo", "--help")
    assert helped.returncode == 0 and "--out" in helped.stdout
    assert {path.name for path in (user.home / "photos").iterdir()} == {"photo.jpg", "build"}


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize(
    "command",
    [
        "predict nosuch.jpg",
        "predict photo.jpg --checkpoint fd",
        "evaluate --checkpoint nosuch --target mini-target",
        "data check mini",
        "data mini --seed 5",
        "train --source gcc:nowhere",
    ],
)
def test_errors_name_nothing_that_only_a_clone_has(command: str, user: User) -> None:
    done = user.sdcda(*command.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sdcda: ") and done.stderr.count("\n") == 1
    assert not re.search(r"\bdata/|README|notebooks|docs/", done.stderr), done.stderr
