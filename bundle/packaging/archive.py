"""A folder as a ZIP file."""

from __future__ import annotations

import zipfile
from pathlib import Path

from bundle.data.atomic import atomic_path

LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""Instead of the time of writing, so that the same files give the same archive."""


def write_zip(folder: Path, file: Path) -> None:
    """Write a folder, under its own name as the only thing at the top, as ZIP; whole or not at all.

    MONAI unpacks a ZIP into its bundle folder and takes what is at the top for the bundle's name.
    """
    with atomic_path(file) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(folder.parent).as_posix(), LONG_AGO)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, path.read_bytes())
