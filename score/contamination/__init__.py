"""Do training and evaluation questions overlap? Exactly, by 13 words in a row, or as near duplicates.

index = Index(read_questions(["gsm8k_test.jsonl"]))      # the evaluation items
index.find("Janet's ducks lay 16 eggs per day ...")      # -> Overlap(item, how, ...) or None
overlaps(evaluation, training)                           # every evaluation item that some training file holds
"""

from score.contamination.files import evaluation_files, unmatched
from score.contamination.index import Index, Overlap, overlaps
from score.contamination.settings import ContaminationSettings
from score.question_files import Question, read_questions

__all__ = [
    "ContaminationSettings",
    "Index",
    "Overlap",
    "Question",
    "evaluation_files",
    "overlaps",
    "read_questions",
    "unmatched",
]
