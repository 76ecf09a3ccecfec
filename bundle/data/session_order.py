"""Which of a participant's sessions came first, as far as their names tell."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bundle.data.file_patterns import in_order_of_number

EARLIER = ("screening", "screen", "baseline", "base", "bl", "pre", "before", "test", "initial", "first")
LATER = ("retest", "followup", "followups", "fu", "flu", "post", "after", "final", "last", "second")
"""Names of sessions without numbers; a number behind one orders several of a kind."""


def in_order(labels: Sequence[str]) -> list[str] | None:
    """Sessions in the order of time; None if their names do not tell it.

    Names that differ in numbers alone are ordered by these (2 before 10), others by what they mean: baseline before
    follow-up, test before retest.
    """
    stems = {label: re.sub(r"\d+", "#", label).casefold() for label in labels}
    if len(set(stems.values())) <= 1:
        return in_order_of_number(labels)
    ranks = {}
    for label in labels:
        word = re.sub(r"[\d_]", "", label).casefold()
        if word not in EARLIER + LATER:
            return None
        ranks[label] = (word in LATER, [int(number) for number in re.findall(r"\d+", label)])
    kinds = {(late, re.sub(r"[\d_]", "", label).casefold()) for label, (late, _) in ranks.items()}
    if len({late for late, _ in kinds}) < len(kinds):  # such as pre and test
        return None
    return sorted(labels, key=lambda label: ranks[label])
