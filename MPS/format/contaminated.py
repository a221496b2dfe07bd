"""What overlaps with the evaluation sets is left out of training data, and listed beside it."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
from format.settings import FormatSettings

from score.contamination import Index, evaluation_files, read_questions, unmatched
from score.recorded import Recorded


class ContaminationFilter:
    """Use as a context: `with ContaminationFilter(...) as clean: if clean(trajectory): ...`.

    The list is `<output>.contaminated.jsonl`; a check that found nothing leaves it empty, no check leaves none.
    """

    def __init__(self, settings: FormatSettings, output: Path, counts: Counter[str]):
        self.counts = counts
        self.listed = output.with_name(output.name + ".contaminated.jsonl")
        self.files = evaluation_files(settings.evaluation_sets)
        self.unmatched = unmatched(settings.evaluation_sets)
        self._index = Index(read_questions(self.files), settings.contamination) if self.files else None

    def __enter__(self) -> Callable[[Recorded], bool]:
        if self._index is None:
            self.listed.unlink(missing_ok=True)
            return lambda trajectory: True
        self.listed.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.listed, "wb")
        return self._clean

    def __exit__(self, *_: object) -> None:
        if self._index is not None:
            self._file.close()

    def _clean(self, trajectory: Recorded) -> bool:
        assert self._index is not None
        overlap = self._index.find(trajectory.task.question)
        if overlap is None:
            return True
        self.counts[f"left out: overlaps with evaluation ({overlap.how})"] += 1
        self._file.write(msgspec.json.encode({"id": trajectory.task.id, **overlap.row()}) + b"\n")
        return False

    def said(self) -> str:
        """One line for the report."""
        nothing = f"; no file matches {', '.join(self.unmatched)}" if self.unmatched else ""
        if self._index is None:
            return f"not checked against evaluation sets: none found (see evaluation_sets in the config){nothing}"
        dropped = sum(count for what, count in self.counts.items() if what.startswith("left out: overlaps"))
        return (
            f"checked against {len(self._index)} evaluation questions of {len(self.files)} files: {dropped} dropped"
            + (f", listed in {self.listed}" if dropped else "")
            + nothing
        )
