"""Phase 1: the teacher solves tasks alone; its correct trajectories will train the BC student.

    cd MPS && python BC_init_data_gen.py                     (with configs/BC_data_gen_config.yaml)

Writes one trajectory a line with its verdict, right or wrong: the converter filters. A second run goes on where the
first stopped. Failures of an endpoint, a tool, the interpreter or the judge are no wrong answers: they go to
`<output>.failures.jsonl` and are tried again by the next run.

Exit codes: 0 all is well, 2 wrong settings or an endpoint that refuses, 3 some tasks failed or lines were malformed,
4 no trajectory is correct.
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from score import cli  # noqa: E402


def main() -> int:
    parser = cli.parser(
        __doc__ or "", "python BC_init_data_gen.py --limit 20 --set max_steps=6", "configs/BC_data_gen_config.yaml"
    )
    cli.add_run_options(parser)
    options = parser.parse_args()

    # Heavy imports come after the arguments, so that --help answers at once.
    from generation import BCSettings, Company, script
    from graphs.behaviour_cloning import BehaviourCloning
    from roles import Teacher

    from score import run
    from score.trajectory import bc_row

    def cast(settings: BCSettings, company: Company) -> tuple[BehaviourCloning, list[Teacher]]:
        teacher = Teacher(
            company.endpoints["teacher"], list(company.tools), max_steps=settings.max_steps, sampling=settings.sampling
        )
        graph = BehaviourCloning(
            teacher,
            company.judge,
            company.interpreter,
            company.tools,
            max_steps=settings.max_steps,
            plan=settings.plan,
        )
        return graph, [teacher]

    return run.main(script(__file__, BCSettings, "cold start", ["teacher", "judge"], cast, bc_row), options)


if __name__ == "__main__":
    cli.run(main)
