"""Embeddings that strata are looked for in: of one encoder, or of several for the same participants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bundle.data.embedding_table import EmbeddingTable, read_embedding_table
from bundle.data.problems import InputProblems
from bundle.paths import EMBEDDINGS, stage_folder


def read_encoders(output_dir: str, embeddings: str | Sequence[str] | None) -> list[EmbeddingTable]:
    """Embedding tables, each of another encoder, in the first one's order of participants.

    Raises:
        InputProblems: if one cannot be read, two are of one encoder, participants differ, or two participants have one embedding.
    """
    if embeddings is None:
        files = [str(stage_folder(output_dir, EMBEDDINGS))]
    else:
        files = [embeddings] if isinstance(embeddings, str) else list(embeddings)
    tables, problems = [], []
    for file in files:
        try:
            tables.append(read_embedding_table(file))
        except InputProblems as error:
            problems += error.problems if len(files) == 1 else [f"{file}: {sentence}" for sentence in error.problems]
    if not files:
        problems.append("--embeddings is an empty list: name an embeddings.npz.")
    if problems:
        raise InputProblems("Embeddings", problems)
    first = tables[0]
    for file, table in zip(files[1:], tables[1:], strict=True):
        if any(table.encoder_hash == other.encoder_hash for other in tables if other is not table):
            problems.append(f"{file}: of encoder {table.encoder_hash}, as another file is: give each encoder once.")
        differing = sorted(set(table.participant_ids) ^ set(first.participant_ids))
        if differing:
            problems.append(
                f"{file}: of encoder {table.encoder_hash} and other participants than {files[0]} of encoder "
                f"{first.encoder_hash} ({len(differing)} differ, such as {', '.join(differing[:3])}). Embeddings of different "
                "encoders live in different spaces and cannot be put together: let each encoder embed all participants."
            )
    for file, table in zip(files, tables, strict=True):
        problems += [f"{file}: {sentence}" for sentence in same_codes(table)]
    if problems:
        raise InputProblems("Embeddings", problems)
    return [table.in_order_of(first.participant_ids.tolist()) for table in tables]


def same_codes(table: EmbeddingTable) -> list[str]:
    """A sentence for each group of participants with one and the same embedding."""
    _, group_of = np.unique(table.codes, axis=0, return_inverse=True)
    group_of = group_of.ravel()
    sizes = np.bincount(group_of)
    if len(sizes) == 1 and len(table) > 1:
        return [
            f"all {len(table)} participants have the same embedding: the encoder tells no participant apart; train it longer."
        ]
    return [
        f"{' and '.join(table.participant_ids[group_of == group])} have the same embedding: is one a copy? Keep one."
        for group in np.flatnonzero(sizes > 1)
    ]
