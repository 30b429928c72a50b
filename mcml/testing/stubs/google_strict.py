"""What Google's two stubs share: what did not fit is kept as a problem, and fails the test that made it."""

from types import TracebackType
from typing import Self


class Strict:
    """A stub that stands until `close`, or to the end of its `with` block; its `problems` fail the test, unless that clears them."""

    problems: list[str]

    def close(self) -> None:
        """Stop listening. Raises AssertionError when there were problems."""
        self._stop()
        if self.problems:
            raise AssertionError("\n".join(self.problems))

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close; an error that is on its way goes before ours."""
        if kind is None:
            self.close()
        else:
            self._stop()

    def _stop(self) -> None:
        """Stop listening."""
        raise NotImplementedError
