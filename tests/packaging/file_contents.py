"""What is in a file, packed or not, and what must not be."""

import gzip
import zipfile
from pathlib import Path

import torch

from tests.conftest import ROOT


def contents(file):
    """All bytes; of a ZIP (torch's files are ZIPs), those of its names and unpacked members; of a .gz, unpacked."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            return b"\n".join(name.encode() + b"\n" + archive.read(name) for name in archive.namelist())
    content = file.read_bytes()
    return gzip.decompress(content) if file.suffix == ".gz" else content


def machine_folders():
    """Of the checkout and of the environment's packages."""
    return [str(ROOT), str(Path(torch.__file__).parent.parent)]
