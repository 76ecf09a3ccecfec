"""Training, validation and test participants, by whole families."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from bundle.data.datalist import SECTIONS, Item
from bundle.data.problems import InputProblems


def split_by_family(
    items: Sequence[Item], validation_fraction: float, test_fraction: float, seed: int
) -> dict[str, list[Item]]:
    """Training, validation and test splits; a family is in one of them.

    Whole families, in random order, fill the test split up to its share, then validation, then training.

    Raises:
        InputProblems: for shares that cannot be, or if a section would be empty.
    """
    shares = {"validation_fraction": validation_fraction, "test_fraction": test_fraction}
    problems = [
        f"{name}: expected a share between 0 and 1, got {share}."
        for name, share in shares.items()
        if not 0 <= share < 1
    ]
    if not problems and sum(shares.values()) >= 1:
        problems = [
            f"{' and '.join(shares)} are {sum(shares.values()):g} together: no participant would be left for training."
        ]
    if problems:
        raise InputProblems("Split", problems)
    families: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        families[item["family_id"]].append(item)
    order = np.random.default_rng(seed).permutation(np.array(sorted(families), dtype=object))
    wanted = {"test": round(test_fraction * len(items)), "validation": round(validation_fraction * len(items))}
    sections: dict[str, list[Item]] = {section: [] for section in SECTIONS}
    for family in order:
        section = next((name for name, count in wanted.items() if len(sections[name]) < count), "training")
        sections[section] += families[family]
    empty = [name for name, members in sections.items() if not members]
    if empty:
        raise InputProblems(
            "Split",
            [
                f"{len(items)} participants in {len(families)} families cannot fill training, validation and test "
                f"(empty: {', '.join(empty)}): add participants or change the fractions."
            ],
        )
    position = {item["participant_id"]: number for number, item in enumerate(items)}
    return {name: sorted(rows, key=lambda item: position[item["participant_id"]]) for name, rows in sections.items()}
