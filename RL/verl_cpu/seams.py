"""Where this package hooks into verl, and the check that these places are still there.

All but one are public extension points; `_ROLLOUT_REGISTRY`, which names the class that pushes weights into a
rollout, is a module's private dictionary without a setter.
"""

from collections.abc import Callable

WRITTEN_FOR = "0.9.1"
ROLLOUT = "cpu"
ADAPTER = "verl_cpu.rollout.WeightSender"


class MovedSeam(RuntimeError):
    """This verl differs where the CPU plug-in hooks into it."""


def check() -> None:
    """Raises `MovedSeam` naming verl's version and the first place that is not as expected."""
    import verl
    from verl.plugin.platform import PlatformBase
    from verl.workers.rollout import base
    from verl.workers.rollout.replica import RolloutReplica, RolloutReplicaRegistry

    from verl_cpu.platform import CPUPlatform

    expectations: list[tuple[str, Callable[[], bool]]] = [
        ("PlatformBase's methods", lambda: PlatformBase.__abstractmethods__ <= set(dir(CPUPlatform))),
        ("RolloutReplicaRegistry.register", lambda: callable(RolloutReplicaRegistry.register)),
        ("RolloutReplica.launch_servers", lambda: callable(RolloutReplica.launch_servers)),
        ("verl.workers.rollout.base._ROLLOUT_REGISTRY", lambda: ("vllm", "async") in base._ROLLOUT_REGISTRY),
    ]
    for name, holds in expectations:
        try:
            moved = not holds()
        except AttributeError:
            moved = True
        if moved:
            raise MovedSeam(
                f"{name} is not as the CPU plug-in expects it in verl {verl.__version__}; "
                f"it was written for verl {WRITTEN_FOR}: install that, or adapt RL/verl_cpu"
            )


def register_rollout() -> None:
    """Make `actor_rollout_ref.rollout.name=cpu` known."""
    from verl.workers.rollout import base
    from verl.workers.rollout.replica import RolloutReplicaRegistry

    def load() -> type:
        from verl_cpu.rollout import CPUReplica

        return CPUReplica

    RolloutReplicaRegistry.register(ROLLOUT, load)
    base._ROLLOUT_REGISTRY[(ROLLOUT, "async")] = ADAPTER
