"""Put the shipped model, which lies in models/ beside its card, into the wheel."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

MODEL = "ecstfl-small.safetensors"


class BuildWithModel(build_py):
    """Copy the packages, and the model into ``ecstfl/models``."""

    def run(self) -> None:
        """Build."""
        super().run()
        if not self.editable_mode:  # which reads it where it lies
            target = Path(self.build_lib, "ecstfl", "models")
            target.mkdir(parents=True, exist_ok=True)
            self.copy_file(str(Path("models", MODEL)), str(target / MODEL))


setup(cmdclass={"build_py": BuildWithModel})
