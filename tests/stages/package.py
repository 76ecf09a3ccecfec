"""Making a package of a results folder, and running Python as somebody has it who holds only the package."""

import os
import subprocess
import sys

from tests.conftest import run_stage


def export(output_dir, **options):
    """Run `exporting`; the ZIP."""
    run_stage("exporting", output_dir, **({"forms": ["torchscript"]} | options))
    return output_dir / "9_package" / "brainstrata_v0.1.0.zip"


def elsewhere(folder, *words, **variables):
    """Run Python in a folder without the checkout on the import path; what it prints.

    Args:
        folder: working folder.
        words: of the command line.
        variables: of the environment, beside the usual ones.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "2", **{name: str(value) for name, value in variables.items()}}
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def stage_words(unpacked, run_id, config, **options):
    """Words after `python` that run a stage of an unpacked package."""
    words = ["-m", "monai.bundle", "run", run_id, "--config_file", unpacked / "configs" / config]
    return [*words, *(word for name, value in options.items() for word in (f"--{name}", value))]
