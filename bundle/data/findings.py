"""What a check finds: one line per thing, with what it concerns and how to fix it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

Job = tuple[str, str, str]
"""An image to look at: participant, modality, path."""
MEND, LOOK, LEFT_OUT, SOUND = "mend", "look", "left out", "ok"
STATUSES = (MEND, LOOK, LEFT_OUT, SOUND)
"""Must be fixed before training; odd, so look at it; not analysed; nothing found."""


@dataclass(frozen=True)
class Finding:
    """One line of the check.

    Args:
        participant_id: whom it concerns; empty for the cohort.
        modality: which map; empty for all.
        status: one of `STATUSES`.
        reason: what was expected and what came.
        how_to_mend: what to do.
        file: which one.
    """

    participant_id: str
    modality: str
    status: str
    reason: str
    how_to_mend: str = ""
    file: str = ""

    @property
    def sentence(self) -> str:
        """As one line for a terminal."""
        where = ", ".join(filter(None, (self.participant_id, self.modality, self.file)))
        return ": ".join(filter(None, (where, self.reason, self.how_to_mend))) + "."


def to_mend(job: Job, reason: str, how_to_mend: str) -> Finding:
    """A line on one image that must be fixed."""
    name, modality, file = job
    return Finding(name, modality, MEND, reason, how_to_mend, file)


def split_sentence(sentence: str) -> tuple[str, str]:
    """What is wrong and how to fix it, of `what is wrong: how to mend it.`"""
    reason, _, mend = sentence.rstrip(".").rpartition(": ")
    return (reason, mend) if reason else (mend, "")


def findings_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """All lines, what must be fixed first, in the order of participants within a status."""
    rows = sorted(findings, key=lambda finding: STATUSES.index(finding.status))
    columns = ["participant_id", "modality", "status", "reason", "how_to_mend", "file"]
    return pd.DataFrame([vars(finding) for finding in rows], columns=columns)
