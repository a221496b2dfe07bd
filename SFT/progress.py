"""Keep a trainer's whole output in a log and show one progress line of it.

    llamafactory-cli train x.yaml 2>&1 | python progress.py train.log "training bc"

The trainer's own exit code counts (`set -o pipefail` in the calling script).
"""

import re
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from score.progress import ProgressLine  # noqa: E402

STEP = re.compile(r"\|\s*(\d+)/(\d+) \[")  # tqdm: ` 45%|####  | 90/200 [00:10<00:12, 9.0it/s]`
LOSS = re.compile(r"'loss': '?([\d.]+)")


def main() -> int:
    log_path, label = Path(sys.argv[1]), sys.argv[2]
    line: ProgressLine | None = None
    loss = ""
    with open(log_path, "w", encoding="utf-8") as log:
        for text in sys.stdin:
            log.write(text)
            log.flush()
            found_loss, found_step = LOSS.search(text), STEP.search(text)
            loss = f"loss {found_loss[1]}" if found_loss else loss
            if found_step is None or "it]" in text and "examples" in text:
                continue
            done, total = int(found_step[1]), int(found_step[2])
            if loss and (line is None or line.total != total):
                line = ProgressLine(f"{label} (optimizer steps)", total, done)
            elif line is not None:
                line.update(done, note=loss)
    if line is not None:
        line.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
