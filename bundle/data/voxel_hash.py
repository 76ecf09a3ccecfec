"""What an image shows, as a hash: the same for copies under another name, compression or orientation."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from bundle.data.datalist import Item
from bundle.data.tables import read_table, write_table

logger = logging.getLogger(__name__)


def voxel_hash(path: str) -> str:
    """Sixteen hexadecimal digits of an image's voxels, decoded, in RAS orientation and single precision.

    The header beyond that, the file's name, its compression and its number format do not count.
    """
    image = nib.as_closest_canonical(nib.load(path))
    voxels = np.asanyarray(image.dataobj).astype(np.float32) + np.float32(0)  # no -0
    shape = repr(voxels.shape).encode()
    return hashlib.sha256(shape + np.ascontiguousarray(voxels).tobytes()).hexdigest()[:16]


def voxel_hashes(
    paths: Sequence[str], cache_file: Path, num_workers: int = 2, progress: bool = True
) -> tuple[dict[str, str], list[str]]:
    """Hashes of many images, and a sentence for each that cannot be read.

    Args:
        paths: of images.
        cache_file: a table of hashes; files whose size and time of change are as there are not read again.
        num_workers: threads (decompression and hashing run outside Python's lock).
        progress: show a bar.
    """
    states = {path: (Path(path).stat().st_size, Path(path).stat().st_mtime_ns) for path in paths}
    known = _read_cache(cache_file)
    hashes = {path: known[path, *state] for path, state in states.items() if (path, *state) in known}
    wanted = [path for path in states if path not in hashes]
    with ThreadPoolExecutor(max(1, num_workers)) as pool:
        bar = tqdm(
            pool.map(_try, wanted), total=len(wanted), desc="Comparing images", unit="file", disable=not progress
        )
        found = dict(zip(wanted, bar, strict=True))
    hashes |= {path: answer for path, answer in found.items() if not isinstance(answer, Exception)}
    problems = [
        f"{path} cannot be read ({error}): copy or make it again."
        for path, error in found.items()
        if isinstance(error, Exception)
    ]
    if wanted:
        rows = [(path, *states[path], hashes[path]) for path in states if path in hashes]
        rows += [(*key, value) for key, value in known.items() if key[0] not in states and Path(key[0]).is_file()]
        write_table(pd.DataFrame(rows, columns=["path", "size", "mtime_ns", "voxels"]), cache_file)
    return hashes, problems


def cohort_hash(items: Sequence[Item], modalities: Sequence[str], hashes: Mapping[str, str]) -> str:
    """Twelve hexadecimal digits of what all participants' images show, wherever they lie.

    Args:
        items: participants.
        modalities: those of their maps that count.
        hashes: path -> `voxel_hash`.
    """
    rows = sorted((item["participant_id"], m, hashes[item[m]]) for item in items for m in modalities if m in item)
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:12]


def _try(path: str) -> str | Exception:
    try:
        return voxel_hash(path)
    except Exception as error:  # whatever a broken file makes the reader raise is this file's problem
        return error


def _read_cache(file: Path) -> dict[tuple[str, int, int], str]:
    """(path, size, time of change) -> hash; nothing if there is no table, or a broken one."""
    try:
        table = read_table(file, dtype={"path": str, "voxels": str})
        return {(row.path, int(row.size_), int(row.mtime_ns)): row.voxels for row in _rows(table)}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError) as error:
        logger.warning("%s is broken (%s) and is made again.", file, error)
        return {}


def _rows(table: pd.DataFrame) -> list:
    return list(table.rename(columns={"size": "size_"}).itertuples(index=False))
