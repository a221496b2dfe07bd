"""The training worker on a CPU: `actor_rollout_ref.model.external_lib=verl_cpu.worker`.

verl imports it first thing in a worker's `init_model`, which is early enough for two departures:
- verl joins the backends of CPU and device into `cpu:gloo,cpu:gloo`, which torch refuses; it does so only where no
  process group exists, so the gloo group is made here;
- verl registers its FSDP engine for CUDA and NPU only; the same class is registered for the CPU.
Attention for packed sequences (`packed`) is registered here as well, and the forward that gives log-probabilities
(`log_probs`) is put in where `use_fused_kernels` asks for it.
The number of threads is `VERL_CPU_TRAIN_THREADS` (default 2).
"""

import dataclasses
import os
from typing import Any

import torch
import torch.distributed


def _in_a_worker() -> bool:
    return all(name in os.environ for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"))


def set_up() -> None:
    """Make the process group and register the engine. Raises `MovedSeam` where the engine's hook is gone."""
    from verl.workers.engine import EngineRegistry, FSDPEngineWithLMHead

    from verl_cpu import log_probs, packed
    from verl_cpu.seams import WRITTEN_FOR, MovedSeam

    for hook in ("_build_module", "_build_fsdp_module"):
        if not hasattr(FSDPEngineWithLMHead, hook):
            raise MovedSeam(f"FSDPEngineWithLMHead.{hook} is gone; verl {WRITTEN_FOR} had it")
    packed.register()
    torch.set_num_threads(int(os.environ.get("VERL_CPU_TRAIN_THREADS", "2")))
    torch.distributed.init_process_group(
        "gloo",
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
        init_method=os.environ.get("DIST_INIT_METHOD"),
    )

    @EngineRegistry.register(model_type="language_model", backend=["fsdp", "fsdp2"], device="cpu")
    class CPUEngine(FSDPEngineWithLMHead):  # type: ignore[misc]
        def _build_module(self) -> torch.nn.Module:
            module = super()._build_module()
            if self.model_config.use_fused_kernels:
                log_probs.fuse(module)
            return module

        def _build_fsdp_module(self, module: torch.nn.Module) -> torch.nn.Module:
            # A frozen reference model would be offloaded to pinned memory, which needs an accelerator; on a CPU
            # there is nothing to offload.
            asked: Any = self.engine_config  # type: ignore[has-type]
            self.engine_config = dataclasses.replace(asked, forward_only=False, offload_policy=False)
            try:
                return super()._build_fsdp_module(module)
            finally:
                self.engine_config = asked


if _in_a_worker() and not torch.distributed.is_initialized():
    set_up()
