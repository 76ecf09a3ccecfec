"""Embeddings on disk: participants, their embeddings, and the encoder that made them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bundle.data.atomic import atomic_path
from bundle.data.problems import InputProblems

TABLE = "embeddings"
PER_PERSON = ("participant_ids", "codes", "reconstruction_errors", "present", "uncertainties", "images")
NEEDED = (
    "participant_id",
    "embeddings",
    "reconstruction_error",
    "encoder_hash",
    "modalities",
    "present",
    "uncertainty",
)


@dataclass(frozen=True)
class EmbeddingTable:
    """Embeddings of one encoder.

    Attributes:
        participant_ids: N names.
        codes: `(N, E)` float32.
        reconstruction_errors: `(N,)` mean squared error in scaled units in the brain, over modalities: the mean image
            scores about 1, a perfect reconstruction 0.
        encoder_hash: see `bundle.trained.encoder_hash`.
        modalities: that the encoder fuses.
        present: `(N, M)` bool, which modalities each embedding was made from.
        uncertainties: `(N, E)`, how far each value would move if the absent modalities were added (standard deviation), where
            the network says so, else `(N, 0)`.
        versions: of the software that made them.
        images: `(N, M)` text, `voxel_hash` of each image; empty where it is absent or not known.
    """

    participant_ids: np.ndarray
    codes: np.ndarray
    reconstruction_errors: np.ndarray
    encoder_hash: str
    modalities: tuple[str, ...]
    present: np.ndarray
    uncertainties: np.ndarray
    versions: Mapping[str, str] = field(default_factory=dict)
    images: np.ndarray = field(default_factory=lambda: np.array("", dtype=str))

    def __post_init__(self) -> None:
        if self.images.ndim == 0:
            object.__setattr__(self, "images", np.full(self.present.shape, "", dtype="<U16"))

    def __len__(self) -> int:
        return len(self.participant_ids)

    @classmethod
    def empty(cls, encoder_hash: str, modalities: Sequence[str], versions: Mapping[str, str]) -> EmbeddingTable:
        """No participant yet."""
        nobody = np.array([], dtype=str)
        no_codes, no_maps = np.zeros((0, 0), np.float32), np.zeros((0, len(modalities)), dtype=bool)
        return cls(nobody, no_codes, np.zeros(0), encoder_hash, tuple(modalities), no_maps, no_codes, versions)

    @property
    def inputs(self) -> list[str]:
        """For each participant, the modalities that the embedding was made from, such as `T1w+FA`."""
        names = np.array(self.modalities)
        return ["+".join(names[row]) for row in self.present]

    def with_people(self, others: EmbeddingTable) -> EmbeddingTable:
        """The same with more participants of the same encoder at the end."""
        if not len(self):
            return replace(others, versions=self.versions)
        joined: dict[str, Any] = {
            name: np.concatenate([getattr(self, name), getattr(others, name)]) for name in PER_PERSON
        }
        return replace(self, **joined)

    def in_order_of(self, names: Sequence[str]) -> EmbeddingTable:
        """The same participants in another order."""
        row_of = {name: row for row, name in enumerate(self.participant_ids)}
        rows = [row_of[name] for name in names]
        chosen: dict[str, Any] = {name: getattr(self, name)[rows] for name in PER_PERSON}
        return replace(self, **chosen)

    def write_arrays(self, folder: Path) -> None:
        """Write `embeddings.npz`.

        Raises:
            InputProblems: for embeddings that are not finite, with the participants; nothing is written.
        """
        broken = self.participant_ids[~np.isfinite(self.codes).all(axis=1)]
        if len(broken):
            raise InputProblems(
                "Embeddings",
                [
                    f"{len(broken)} embeddings are not finite, such as that of {broken[0]}: check the images and the weights."
                ],
            )
        with atomic_path(folder / f"{TABLE}.npz") as temporary, temporary.open("wb") as stream:
            np.savez(
                stream,
                participant_id=self.participant_ids.astype(str),
                embeddings=self.codes.astype(np.float32),
                reconstruction_error=self.reconstruction_errors.astype(np.float32),
                encoder_hash=self.encoder_hash,
                modalities=np.array(self.modalities),
                present=self.present,
                uncertainty=self.uncertainties.astype(np.float32),
                images=self.images.astype(str),
                versions=json.dumps(dict(self.versions)),
            )

    def write_text(self, folder: Path) -> None:
        """Write `embeddings.tsv`: a row per participant, for reading by eye and by other programs."""
        table = pd.DataFrame(self.codes, columns=[f"e{number:04d}" for number in range(self.codes.shape[1])])
        if self.uncertainties.shape[1]:
            table.insert(0, "uncertainty", self.uncertainties.mean(axis=1))
        table.insert(0, "reconstruction_error", self.reconstruction_errors)
        table.insert(0, "inputs", self.inputs)
        table.insert(0, "encoder_hash", self.encoder_hash)
        table.insert(0, "participant_id", self.participant_ids)
        with atomic_path(folder / f"{TABLE}.tsv") as temporary:
            table.to_csv(temporary, sep="\t", index=False, float_format="%.7g")


def read_embedding_table(file: str | Path) -> EmbeddingTable:
    """Read and check an `embeddings.npz`, or the folder that holds it.

    Raises:
        InputProblems: if it is not there or cannot be read, holds no participant, a participant twice, values that are not finite,
            or arrays of different lengths.
    """
    path = Path(file).expanduser()
    path = path / f"{TABLE}.npz" if path.is_dir() else path
    if not path.is_file():
        raise InputProblems("Embeddings", [f"No {path}: run embedding first, or give the path of an embeddings.npz."])
    try:
        with np.load(path, allow_pickle=False) as stored:
            content = {name: stored[name] for name in stored.files}
    except Exception as error:  # whatever a broken file makes numpy raise
        raise InputProblems("Embeddings", [f"{path} cannot be read: move it away and embed again."]) from error
    absent = [name for name in NEEDED if name not in content]
    if absent:
        raise InputProblems(
            "Embeddings",
            [f"{path} has no {', '.join(absent)}: an earlier version wrote it; move it away and embed again."],
        )
    table = EmbeddingTable(
        content["participant_id"].astype(str),
        content["embeddings"],
        content["reconstruction_error"].astype(float),
        str(content["encoder_hash"]),
        tuple(content["modalities"].tolist()),
        content["present"],
        content["uncertainty"],
        json.loads(str(content["versions"])) if "versions" in content else {},
        content.get("images", np.array("")),
    )
    problems = _problems(table)
    if problems:
        raise InputProblems(f"Embeddings {path}", problems)
    return table


def _problems(table: EmbeddingTable) -> list[str]:
    n_people = len(table)
    lengths = {name: len(getattr(table, name)) for name in PER_PERSON}
    if (
        table.codes.ndim != 2
        or set(lengths.values()) != {n_people}
        or table.present.shape[1:] != (len(table.modalities),)
    ):
        return [
            f"Expected an embedding, an error and {len(table.modalities)} words on modalities per participant, got {lengths} rows, "
            f"embeddings of shape {table.codes.shape} and words of shape {table.present.shape}."
        ]
    if n_people == 0:
        return ["It holds no participant: embed a participant first."]
    counts = Counter(table.participant_ids.tolist())
    problems = [f"{name}: stands {count} times: keep one." for name, count in counts.items() if count > 1]
    broken = ~np.isfinite(table.codes).all(axis=1) | ~np.isfinite(table.reconstruction_errors)
    problems += [
        f"{name}: the embedding or the reconstruction error is not finite: check this participant's images, remove them and embed again."
        for name in table.participant_ids[broken]
    ]
    return problems
