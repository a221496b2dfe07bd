"""Keep a trainer's whole output in a log and show one progress line of it.

    llamafactory-cli train x.yaml 2>&1 | python -m score.trainer_log train.log "training bc"

Understands the bars and figures of LLaMA-Factory (loss) and of verl (share of right answers). The trainer's own exit
code counts: use `set -o pipefail`.
"""

import re
import sys
from pathlib import Path

from score.progress import ProgressLine

BAR = re.compile(r"\|\s*(\d+)/(\d+) \[")  # tqdm: ` 45%|####  | 90/200 [00:10<00:12, 9.0it/s]`
NUMBER = r"(nan|inf|[\d.]+(?:e[-+]?\d+)?)"  # a loss may be 7.7e-06, or no number any more
FIGURES = {
    "loss": re.compile(rf"'loss': '?{NUMBER}"),
    "right": re.compile(rf"score/final_accuracy:{NUMBER}"),
}


def main() -> int:
    log_path, label = Path(sys.argv[1]), sys.argv[2]
    line: ProgressLine | None = None
    figure = ""
    with open(log_path, "w", encoding="utf-8") as log:
        for text in sys.stdin:
            log.write(text)
            log.flush()
            for name, pattern in FIGURES.items():
                found = pattern.findall(text)
                figure = f"{name} {float(found[-1]):.3f}" if found else figure
            bars = BAR.findall(text)
            if not bars or not figure:  # bars before the first figure count examples, not steps
                continue
            done, total = int(bars[-1][0]), int(bars[-1][1])
            if line is None:
                line = ProgressLine(label, total, done)
            if line.total == total:
                line.update(done, note=figure)
    if line is not None:
        line.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
