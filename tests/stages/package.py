"""Making a package of a results folder, and running Python as a participant has it who holds only the package."""

import atexit
import os
import shutil
import site
import subprocess
import tempfile
import venv
from functools import cache
from pathlib import Path

from tests.conftest import run_stage


def export(output_dir, **options):
    """Run `exporting`; the ZIP."""
    run_stage("exporting", output_dir, **({"forms": ["torchscript"]} | options))
    return output_dir / "9_package" / "brainstrata_v0.2.0.zip"


def elsewhere(folder, *words, **variables):
    """Run Python in a folder without the checkout on the import path, installed or not; what it prints.

    Args:
        folder: working folder.
        words: of the command line.
        variables: of the environment, beside the usual ones.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "2", **{name: str(value) for name, value in variables.items()}}
    done = subprocess.run(
        [_python_without_us(), *map(str, words)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@cache
def _python_without_us() -> str:
    """A Python with the packages of this one, but not what finds an editable install: `.pth` files of added folders are not read."""
    folder = Path(tempfile.mkdtemp(prefix="brainstrata_tests_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "packages.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    python = str(folder / "bin" / "python")
    found = subprocess.run(
        [python, "-c", "import monai, bundle"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert "No module named 'bundle'" in found.stderr, found.stderr
    return python


def stage_words(unpacked, run_id, config, **options):
    """Words after `python` that run a stage of an unpacked package."""
    words = ["-m", "monai.bundle", "run", run_id, "--config_file", unpacked / "configs" / config]
    return [*words, *(word for name, value in options.items() for word in (f"--{name}", value))]
