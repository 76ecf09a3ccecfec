"""Look at every image before a night is spent on it."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from tqdm.auto import tqdm

from bundle.data.brain_mask import masked
from bundle.data.datalist import Item, present_modalities
from bundle.data.file_patterns import FETCH, dead_link
from bundle.data.findings import MEND, Finding, Job, split_sentence, to_mend
from bundle.data.geometry import geometry_problem
from bundle.data.grids import SAME_GRID_MM, corners_apart_mm
from bundle.data.leakage import same_images
from bundle.data.problems import InputProblems
from bundle.data.voxel_hash import voxel_hash
from custom_nets import FusionAutoencoder

LARGEST_VALUE = 1e15
"""Squares of larger values overflow single precision."""


@dataclass(frozen=True)
class ImageFacts:
    """What one file is like, or what is wrong.

    Args:
        shape, affine: of its grid, in RAS orientation.
        problem: that makes it unusable.
        stored: directions in which its voxels are stored, such as `RAS`.
        numbers: of its voxels, which copies in any orientation share; empty if voxels were not read.
        seen: what a further look at its voxels gave.
    """

    shape: tuple[int, ...] = ()
    affine: np.ndarray | None = None
    problem: Finding | None = None
    stored: str = ""
    numbers: str = ""
    seen: Any = None

    @property
    def rounded_affine(self) -> tuple[tuple[float, ...], ...]:
        """The affine to a hundredth of a millimetre, to count by."""
        return tuple(tuple(row) for row in np.round(np.asarray(self.affine), 2))


def check_images(
    items: Sequence[Item],
    modalities: Sequence[str],
    spatial_size: Sequence[int],
    num_workers: int = 2,
    progress: bool = True,
) -> list[str]:
    """Read every image and return a sentence for each that cannot be used; an empty list means all is well.

    Found: unreadable or truncated files, other than three axes, NaN or infinite values, images that are zero
    everywhere, grids larger than `spatial_size`, grids or affines that differ from those of most files, and copies of an
    image under another name.

    Args:
        items: participants with a path for each modality that they have.
        modalities: which paths to read.
        spatial_size: the network's grid; smaller images are padded to it, larger ones refused.
        num_workers: threads (decompression runs outside Python's lock).
        progress: show a bar.
    """
    problems, hashes = _check(items, modalities, spatial_size, num_workers, progress)
    return [finding.sentence for finding in (*problems, *same_images(items, modalities, hashes))]


def _check(
    items: Sequence[Item],
    modalities: Sequence[str],
    spatial_size: Sequence[int],
    num_workers: int,
    progress: bool = True,
) -> tuple[list[Finding], dict[str, str]]:
    """What is wrong with each image by itself or beside the others, and `hashes_of_likely_copies`."""
    jobs = [
        (item["participant_id"], modality, item[modality])
        for item in items
        for modality in present_modalities(item, modalities)
    ]
    with ThreadPoolExecutor(max(1, num_workers)) as pool:
        bar = tqdm(
            pool.map(inspect_image, jobs), total=len(jobs), desc="Checking images", unit="file", disable=not progress
        )
        facts = list(bar)
    problems = [fact.problem for fact in facts if fact.problem] + grid_problems(jobs, facts, spatial_size)
    return problems, hashes_of_likely_copies(jobs, facts)


def hashes_of_likely_copies(jobs: Sequence[Job], facts: Sequence[ImageFacts]) -> dict[str, str]:
    """Path -> `voxel_hash` of those images that share their numbers with another, which are read again for it."""
    counts = Counter(fact.numbers for fact in facts)
    return {
        job[2]: voxel_hash(job[2])
        for job, fact in zip(jobs, facts, strict=True)
        if fact.numbers and counts[fact.numbers] > 1
    }


def grid_problems(
    jobs: Sequence[Job], facts: Sequence[ImageFacts], spatial_size: Sequence[int] | None
) -> list[Finding]:
    """A finding for each sound image whose grid or affine differs from most, and one if all are too large.

    Args:
        jobs: which images.
        facts: of each.
        spatial_size: the network's grid; None sets no limit.
    """
    problems: list[Finding] = []
    sound = [(job, fact) for job, fact in zip(jobs, facts, strict=True) if not fact.problem]
    if not sound:
        return problems
    usual_shape = Counter(fact.shape for _, fact in sound).most_common(1)[0][0]
    alike = [fact for _, fact in sound if fact.shape == usual_shape]
    rounded = Counter(fact.rounded_affine for fact in alike).most_common(1)[0][0]
    usual_affine = np.asarray(next(fact.affine for fact in alike if fact.rounded_affine == rounded))
    for job, fact in sound:
        if fact.shape != usual_shape:
            reason = f"expected the grid {_by(usual_shape)} of most files, got {_by(fact.shape)}"
            problems.append(to_mend(job, reason, "resample it to the common grid"))
        elif (off := corners_apart_mm(usual_shape, np.asarray(fact.affine), usual_affine)) > SAME_GRID_MM:
            reason = (
                f"its affine differs from that of the other files (a corner of the grid lies {off:.3g} mm elsewhere)"
            )
            problems.append(to_mend(job, reason, "bring it to the common template space"))
    if spatial_size and any(size > limit for size, limit in zip(usual_shape, spatial_size, strict=True)):
        reason = f"Images are {_by(usual_shape)}, the network takes {_by(spatial_size)}"
        mend = "resample or crop the images, or set --spatial_size to a grid that holds them"
        problems.append(Finding("", "", MEND, reason, mend))
    return problems


def check_against_network(
    items: Sequence[Item], network: FusionAutoencoder, num_workers: int = 2, progress: bool = True
) -> list[str]:
    """As `check_images`, and a sentence for each image that is not in the space that the network was trained in.

    Images in another orientation of the same space pass: they are turned to RAS on loading.
    """
    problems, _ = _check(items, network.modalities, network.spatial_size, num_workers, progress)
    named = {(finding.participant_id, finding.modality) for finding in problems}
    expected = network.grid_affine.cpu().numpy()
    for item in items:
        for modality in present_modalities(item, network.modalities):
            if (item["participant_id"], modality) in named:
                continue
            shape, affine = canonical_grid(item[modality])
            if any(size > limit for size, limit in zip(shape, network.spatial_size, strict=True)):
                continue
            padded = padded_affine(shape, affine, network.spatial_size)
            off = corners_apart_mm(network.spatial_size, padded, expected)
            if off > SAME_GRID_MM:
                reason = (
                    f"not in the template space of the training images: padded to {_by(network.spatial_size)}, a corner of "
                    f"its grid lies {off:.3g} mm from where {expected[:3].round(3).tolist()} puts it"
                )
                job = (item["participant_id"], modality, item[modality])
                problems.append(to_mend(job, reason, "register or resample it to that grid"))
    return [finding.sentence for finding in problems]


def padded_affine(shape: Sequence[int], affine: np.ndarray, spatial_size: Sequence[int]) -> np.ndarray:
    """Affine of an image after it was padded to `spatial_size`, as many voxels before as after (one less if odd)."""
    before = [(size - own) // 2 for size, own in zip(spatial_size, shape, strict=True)]
    moved = np.array(affine, dtype=np.float64)
    moved[:3, 3] -= moved[:3, :3] @ before
    return moved


def explain_padding(shape: Sequence[int], spatial_size: Sequence[int]) -> str:
    """What the transforms do to images of this grid, in words; empty if nothing."""
    if tuple(shape) == tuple(spatial_size):
        return ""
    return f"Images of {_by(shape)} are padded with zeros to {_by(spatial_size)}; reconstructions are cropped back."


def canonical_grid(image: Any) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape and affine that an image, or the image of a path, has in RAS orientation; reads the header only."""
    image = nib.load(image) if isinstance(image, str) else image
    # not `as_closest_canonical`, which reads the voxels of every image that is not in RAS orientation
    orientation = nib.io_orientation(image.affine)
    shape = tuple(int(image.shape[axis]) for axis in np.argsort(orientation[:, 0]))
    return shape, image.affine @ nib.orientations.inv_ornt_aff(orientation, image.shape[:3])


def inspect_image(
    job: Job,
    look: Callable[[np.ndarray, np.ndarray], Any] | None = None,
    mask: Path | None = None,
) -> ImageFacts:
    """Read one image and say what it is like.

    Args:
        job: which image.
        look: called with the voxels (float32, oriented as stored) and their affine, if the image is sound; what it returns
            is `seen`.
        mask: of the brain; what lies outside counts as 0, since that is what it becomes.
    """
    path = job[2]
    try:
        image: Any = nib.load(path)
        if image.ndim != 3:
            return not_three_axes(job, image)
        if problem := geometry_problem(image):
            return ImageFacts(problem=to_mend(job, *problem))
        stored = image.get_data_dtype()
        if stored.kind not in "biuf":
            return ImageFacts(problem=to_mend(job, f"expected one real number per voxel, got {stored}", "convert it"))
        with np.errstate(over="ignore"):  # what single precision cannot hold is said below
            voxels = load_whole(path).get_fdata(caching="unchanged", dtype=np.float32)
        if mask is not None:
            voxels = masked(voxels, image.affine, mask)
        shape, affine = canonical_grid(image)
    except InputProblems as error:
        return ImageFacts(problem=to_mend(job, *split_sentence(error.problems[0])))
    except Exception as error:  # whatever a broken file makes the reader raise is this file's problem
        return unreadable(job, error)
    unusable = ~(np.abs(voxels) < LARGEST_VALUE)  # catches NaN too
    if unusable.any():
        count = int(unusable.sum())
        reason = f"NaN or infinite (or above 1e15) in {count} of its voxels"
        return ImageFacts(problem=to_mend(job, reason, "set them to background"))
    low, high = voxels.min(), voxels.max()
    if low == high:
        value = f"{voxels.flat[0]:.6g}" if voxels.any() else "zero"
        return ImageFacts(problem=to_mend(job, f"every voxel is {value}", "make it again or remove the participant"))
    return ImageFacts(
        shape,
        affine,
        stored=stored_as(image),
        numbers=f"{shape} {low + 0} {high + 0} {voxels.sum(dtype=np.float64):.11e}",
        seen=look(voxels, image.affine) if look else None,
    )


def stored_as(image: Any) -> str:
    """Directions in which an image's voxels are stored, such as `RAS`."""
    return "".join(nib.aff2axcodes(image.affine))


def not_three_axes(job: Job, image: Any) -> ImageFacts:
    """What is said of an image with fewer or more axes than a volume has."""
    return ImageFacts(problem=to_mend(job, f"expected 3 axes, got {image.ndim} {image.shape}", "extract the volume you mean"))  # fmt: skip


def unreadable(job: Job, error: Exception) -> ImageFacts:
    """What is said of an image that its reader fails on."""
    if reason := dead_link(Path(job[2])):
        return ImageFacts(problem=to_mend(job, reason, FETCH))
    return ImageFacts(problem=to_mend(job, f"cannot be read ({error})", "copy or make it again"))


def _by(shape: Sequence[int]) -> str:
    return " x ".join(str(size) for size in shape)


def files_signature(items: Sequence[Item], modalities: Sequence[str]) -> Mapping[str, list[int]]:
    """Size and modification time of every file: images that have not changed need not be checked again."""
    return {
        item[m]: [Path(item[m]).stat().st_size, Path(item[m]).stat().st_mtime_ns]
        for item in items
        for m in present_modalities(item, modalities)
    }


def load_whole(path: str) -> Any:
    """An image of a file that was read to its end: nibabel by itself stops before a compressed file's checksum."""
    image: Any = nib.load(path)
    if not path.endswith(".gz"):
        return image
    if hasattr(image, "from_bytes"):  # decompressed once, the checksum compared
        return type(image).from_bytes(gzip.decompress(Path(path).read_bytes()))
    read_to_the_end(path)  # header and voxels in two files
    return image


def read_to_the_end(path: str) -> None:
    """Decompress everything, so that the checksum at the end is compared; nibabel stops before it."""
    with gzip.open(path) as stream:
        while stream.read(1 << 20):
            pass
