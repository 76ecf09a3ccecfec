"""Progress bars of runs of several steps."""

from __future__ import annotations

from typing import Any

from tqdm.auto import tqdm


class Progress:
    """One bar per step of a run."""

    def __init__(self, visible: bool) -> None:
        self.visible = visible
        self._bar: Any = None
        self._word = ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def show(self, word: str, done: int, of: int) -> None:
        """Move the bar of a step, opening it if it is a new one."""
        if word != self._word:
            self._close()
            self._bar, self._word = tqdm(total=of, desc=word, disable=not self.visible), word
        if self._bar is None:
            return
        self._bar.update(done - self._bar.n)
        if done == of:
            self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
