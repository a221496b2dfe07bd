"""Settings of the three converters: one file, a section each."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from score.contamination.settings import ContaminationSettings
from score.settings import Strict


class Lengths(Strict):
    """The student's tokenizer and LLaMA-Factory's `cutoff_len` in tokens: what is longer would be cut silently.

    `counted`: the share of conversations that are tokenized for the histogram; of the others those that their size in
    bytes does not already clear (score/lengths.py). Tokenizing is some ten times slower than all the rest.
    """

    tokenizer: Path
    cutoff_len: int = Field(gt=0)
    counted: float = Field(default=1.0, ge=0, le=1)


class ToLlamaFactory(Strict):
    """Trajectories -> ShareGPT JSON, named `dataset` in LLaMA-Factory's dataset_info.json."""

    input: Path
    output: Path
    dataset: str
    lengths: Lengths | None = None


class SftSelection(ToLlamaFactory):
    """`self_solved_kept`: the share kept of what the student got right alone; corrected trajectories all stay."""

    self_solved_kept: float = Field(default=0.5, ge=0, le=1)


class RlSelection(Strict):
    """Every corrected trajectory, a share of the hard and of the easy ones (METHOD.md, section 3).

    `key_steps`: one row from the first correction of a trajectory, or one from each.
    """

    input: Path
    output: Path
    hard_kept: float = Field(default=0.5, ge=0, le=1)
    easy_kept: float = Field(default=0.1, ge=0, le=1)
    key_steps: Literal["first", "all"] = "first"


class HubDataset(Strict):
    """The Hugging Face dataset folder (format/hf_dataset.py). `license` is the hub's name of one; `other` is none."""

    folder: Path = Path("output/hub")
    license: str = "other"
    title: str = "SCoRe trajectories"
    description: str = "Trajectories and key steps made with the SCoRe toolkit."


class FormatSettings(Strict):
    """`sft_share` of the mentored questions go to SFT, the others to RL; `seed` decides which.

    `evaluation_sets`: files or patterns (`*.jsonl`); what overlaps with their questions is left out and listed.
    """

    seed: int = 42
    sft_share: float = Field(default=0.5, ge=0, le=1)
    evaluation_sets: list[str] = []
    contamination: ContaminationSettings = ContaminationSettings()
    dataset_info: Path
    bc: ToLlamaFactory
    sft: SftSelection
    rl: RlSelection
    hub: HubDataset = HubDataset()
