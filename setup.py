"""What pyproject.toml cannot say: a wheel carries the models that commands use by name.

In the repository they are in data/checkpoints, with the others. An editable installation reads them there.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

MODELS = ("se+fd", "noadapt", "segmenter")  # of sdcda_tutorial/places.py, which needs more than a build has


class BuildWithModels(build_py):
    def run(self):
        super().run()
        if not self.editable_mode:
            folder = Path(self.build_lib, "sdcda_tutorial", "models")
            folder.mkdir(parents=True, exist_ok=True)
            for name in MODELS:
                shutil.copyfile(Path("data", "checkpoints", f"{name}.safetensors"), folder / f"{name}.safetensors")


setup(cmdclass={"build_py": BuildWithModels})
