"""Phase 2: mentored problem solving. The student tries new tasks; the teacher corrects its first critical error only.

    cd MPS && python SCoRe_data_gen.py                       (with configs/SCoRe_data_gen_config.yaml)

The student has to be served (see the README). Writes one trajectory a line with its key steps; a task that was never
solved is written as a hard sample. A second run goes on where the first stopped. Failures of an endpoint, a tool, the
interpreter or the judge are no wrong answers: they go to `<output>.failures.jsonl` and are tried again.

Exit codes: 0 all is well, 2 wrong settings or an endpoint that refuses, 3 some tasks failed or lines were malformed,
4 no trajectory is correct.
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from score import cli  # noqa: E402


def main() -> int:
    parser = cli.parser(
        __doc__ or "", "python SCoRe_data_gen.py --limit 20 --set corrections=5", "configs/SCoRe_data_gen_config.yaml"
    )
    cli.add_run_options(parser)
    options = parser.parse_args()

    # Heavy imports come after the arguments, so that --help answers at once.
    from generation import Company, MentoredSettings, script
    from graphs.mentored import MentoredSolving
    from roles import Student, Teacher

    from score import run
    from score.trajectory import mps_row

    def cast(settings: MentoredSettings, company: Company) -> tuple[MentoredSolving, list[Student | Teacher]]:
        sampling = settings.sampling
        student = Student(company.endpoints["student"], sampling.of("student"))
        left_alone = Student(company.endpoints["student"], sampling.of("student") | sampling.of("rollout"), "rollout")
        teacher = Teacher(
            company.endpoints["teacher"], list(company.tools), max_steps=settings.max_steps, sampling=sampling
        )
        graph = MentoredSolving(
            student,
            teacher,
            company.judge,
            company.interpreter,
            company.tools,
            max_steps=settings.max_steps,
            corrections=settings.corrections,
            localise_retries=settings.localise_retries,
            rewrites=settings.rewrites,
            plan=settings.plan,
            left_alone=left_alone,
            localizer=settings.localizer,
            localizer_rollouts=settings.localizer_rollouts,
            drop=settings.drop,
            criticality=settings.criticality,
        )
        return graph, [student, teacher]

    roles = ["student", "teacher", "judge"]
    return run.main(script(__file__, MentoredSettings, "mentored solving", roles, cast, mps_row), options)


if __name__ == "__main__":
    cli.run(main)
