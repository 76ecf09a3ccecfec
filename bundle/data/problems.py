"""All that is wrong with the user's input, said at once."""

from __future__ import annotations

from collections.abc import Sequence


class InputProblems(ValueError):
    """Raised before any work starts, with every problem found.

    Args:
        title: what was being checked.
        problems: one sentence each: subject, file, what was expected, what came, how to mend it.
        shown: how many to print; the number of the rest is given.
    """

    def __init__(self, title: str, problems: Sequence[str], shown: int = 30) -> None:
        self.problems = list(problems)
        lines = [f"{title}: {len(self.problems)} to mend.", *[f"  - {problem}" for problem in self.problems[:shown]]]
        if len(self.problems) > shown:
            lines.append(f"  ... and {len(self.problems) - shown} more.")
        super().__init__("\n".join(lines))
