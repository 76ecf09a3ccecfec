"""What tables say of participants that must be fixed before they are divided: relatives, families and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from bundle.data.datalist import Item
from bundle.data.families import FAMILY_SIZE, alone, family_problems
from bundle.data.findings import MEND, Finding, split_sentence
from bundle.data.layouts import Layout
from bundle.data.missing_words import numbers_of
from bundle.data.plausible import RANGES, implausible_values
from bundle.data.relatives import relatives_apart
from bundle.data.source_columns import participants_of
from bundle.data.source_tables import SourceTables


def people_findings(items: Sequence[Item], tables: SourceTables, layout: Layout) -> list[Finding]:
    """A finding for each family that cannot be one, for relatives in several families, and for values that no participant has.

    Args:
        items: who is analysed, with session.
        tables: of the source; restricted columns count, but are not told.
        layout: says what the columns are.
    """
    if not items or not len(tables.values):
        return []
    sessions = {item["participant_id"]: item.get("session", "") for item in items}
    known = participants_of(tables, layout, sessions, 0, with_restricted=True)
    families = families_of(known)
    sizes = known[FAMILY_SIZE].to_dict() if FAMILY_SIZE in known else None
    problems = family_problems(families, sizes)
    problems += relatives_apart(known.drop(columns="family_id", errors="ignore").reset_index(), families)
    open_ones = participants_of(tables, layout, sessions, 0, with_restricted=False)
    numbers = open_ones[[name for name in RANGES if name in open_ones]]
    problems += implausible_values(pd.DataFrame(numbers_of(numbers), numbers.index, numbers.columns))
    return [Finding("", "", MEND, *split_sentence(problem)) for problem in problems]


def families_of(participants: pd.DataFrame) -> Mapping[str, str]:
    """Participant id -> family, their own for participants without one; the table's index holds ids."""
    labels = participants["family_id"] if "family_id" in participants else pd.Series(pd.NA, index=participants.index)
    return {str(name): alone(str(name)) if pd.isna(label) else str(label) for name, label in labels.items()}
