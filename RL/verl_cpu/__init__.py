"""Stock verl on a CPU: a platform, the FSDP engine over gloo, and a rollout server, through verl's own registries.

    VERL_USE_EXTERNAL_MODULES=verl_cpu VERL_PLATFORM=cpu python -m verl.trainer.main_ppo ...

verl imports this package in every process. What each part hooks into is checked first (`seams`), so that a verl
whose seams have moved is named at the start instead of failing somewhere inside. Training needs also
`actor_rollout_ref.model.external_lib=verl_cpu.worker` and `actor_rollout_ref.rollout.name=cpu`.
"""

from verl_cpu import platform, seams

platform.register()
seams.check()
seams.register_rollout()
