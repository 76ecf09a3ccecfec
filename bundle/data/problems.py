"""All that is wrong with the user's input, said at once."""

from __future__ import annotations

from collections.abc import Sequence

MOST_SHOWN = 30
"""Problems that are printed; of the rest the number is."""


class InputProblems(ValueError):
    """Raised before any work starts, with every problem found.

    Args:
        title: what was being checked.
        problems: one sentence each: subject, file, what was expected, what came, how to fix it.
    """

    def __init__(self, title: str, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        lines = [
            f"{title}: {len(self.problems)} to fix.",
            *[f"  - {problem}" for problem in self.problems[:MOST_SHOWN]],
        ]
        if len(self.problems) > MOST_SHOWN:
            lines.append(f"  ... and {len(self.problems) - MOST_SHOWN} more.")
        super().__init__("\n".join(lines))
