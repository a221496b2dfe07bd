"""Rollouts on a CPU: `score.serving`'s engine in a Ray actor, and the part of the trainer that sends it weights.

Token ids in, token ids and log-probabilities out, with continuous batching. An error reaches the caller.
The number of threads is `VERL_CPU_ROLLOUT_THREADS` (default 1).
"""

import os
from collections.abc import Iterable
from typing import Any

import ray
import torch
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, TokenOutput

from score.serving import AsyncEngine, Engine, Sampling


def sampling_of(parameters: dict[str, Any], room: int) -> Sampling:
    """verl's sampling parameters as the engine's. `room` is how many tokens still fit into the context.

    Left out are `logprobs` (always given) and what engines for GPUs know besides; an unknown parameter is an error,
    because a sampling that differs from the trainer's makes the log-probabilities differ too.
    """
    parameters = dict(parameters)
    parameters.pop("logprobs", None)
    asked = parameters.pop("max_tokens", None) or parameters.pop("max_new_tokens", None) or room
    top_k = parameters.pop("top_k", -1)
    sampling = Sampling(
        max_tokens=min(asked, room),
        temperature=float(parameters.pop("temperature", 1.0)),
        top_p=float(parameters.pop("top_p", 1.0)),
        top_k=max(0, int(top_k)),
        repetition_penalty=float(parameters.pop("repetition_penalty", 1.0)),
        seed=parameters.pop("seed", None),
        stop_token_ids=tuple(parameters.pop("stop_token_ids", ())),
    )
    if parameters:
        raise ValueError(f"the CPU rollout does not know the sampling parameters {sorted(parameters)}")
    return sampling


@ray.remote(num_cpus=0)
class RolloutServer:
    """One model and its running batch."""

    def __init__(self, config: Any, model_config: Any, replica_rank: int):
        from transformers import AutoConfig, AutoModelForCausalLM

        torch.set_num_threads(int(os.environ.get("VERL_CPU_ROLLOUT_THREADS", "1")))
        self.config = omega_conf_to_dataclass(config)
        model_settings = omega_conf_to_dataclass(model_config)
        # The weights come from the trainer before the first request, so none are read here.
        hf_config = AutoConfig.from_pretrained(model_settings.local_path)
        model = AutoModelForCausalLM.from_config(hf_config, attn_implementation="sdpa", dtype=torch.float32)
        tokenizer, generation = model_settings.tokenizer, model_settings.generation_config
        stops = getattr(generation, "eos_token_id", None) or []
        stop_ids = {tokenizer.eos_token_id, *(stops if isinstance(stops, list) else [stops])}
        self.context = self.config.max_model_len or self.config.prompt_length + self.config.response_length
        self.engine = AsyncEngine(
            Engine(
                model,
                [] if self.config.ignore_eos else stop_ids,
                tokenizer.pad_token_id,
                max_context=self.context,
                max_batch=self.config.max_num_seqs,
                seed=self.config.seed + replica_rank,
            )
        )
        self.tied = hf_config.tie_word_embeddings
        self.step: int | None = None

    async def load(self, weights: dict[str, torch.Tensor], step: int | None) -> None:
        """Take the trainer's weights; requests on their way finish first. Raises where a weight is missing."""
        expected = {name for name, _ in self.engine.engine.model.named_parameters()}
        if missing := expected - set(weights) - ({"lm_head.weight"} if self.tied else set()):
            raise ValueError(f"the trainer sent no weights for {sorted(missing)[:5]}")
        await self.engine.load_state(weights.items())
        self.step = step

    async def generate(
        self, prompt_ids: list[int], sampling_params: dict[str, Any], request_id: str, **_: Any
    ) -> TokenOutput:
        prompt = [int(token) for token in prompt_ids]
        done = await self.engine.generate(prompt, sampling_of(sampling_params, self.context - len(prompt)))
        return TokenOutput(
            token_ids=done.token_ids,
            log_probs=done.log_probs,
            stop_reason="completed" if done.finish_reason == "stop" else "length",
            extra_fields={"global_steps": self.step},
        )

    async def ready(self) -> None:
        """Answers once the model is loaded."""

    # What the trainer tells every rollout server. Weights and cache share nothing with the trainer here, so there is
    # nothing to free or to stop between its phases.
    async def wake_up(self) -> None: ...

    async def sleep(self) -> None: ...

    async def abort_all_requests(self, reject_request: bool = False) -> None: ...

    async def resume_generation(self) -> None: ...

    async def clear_kv_cache(self) -> None: ...

    async def release_kv_cache(self) -> None: ...

    async def resume_kv_cache(self) -> None: ...

    async def start_profile(self, **_: Any) -> None: ...

    async def stop_profile(self) -> None: ...


def server_name(replica_rank: int) -> str:
    return f"cpu_rollout_{replica_rank}"


class CPUReplica(RolloutReplica):  # type: ignore[misc]
    """verl's handle on a rollout server."""

    async def launch_servers(self) -> None:
        name = server_name(self.replica_rank)
        actor: Any = RolloutServer
        server = actor.options(name=name, max_concurrency=self.max_concurrency).remote(
            self.config, self.model_config, self.replica_rank
        )
        await server.ready.remote()
        self.servers, self._server_handle, self._server_address = [server], server, name


class WeightSender(BaseRollout):  # type: ignore[misc]
    """Lives in the training worker; the first rank of a replica sends its weights to the server."""

    def __init__(self, config: Any, model_config: Any, device_mesh: Any, replica_rank: int = -1, **_: Any):
        super().__init__(config, model_config, device_mesh)
        size = self.config.tensor_model_parallel_size * self.config.data_parallel_size
        rank = int(os.environ.get("RANK", "0"))
        self.replica_rank = replica_rank if replica_rank >= 0 else rank // size
        self.first = rank % size == 0

    async def resume(self, tags: list[str]) -> None: ...

    async def release(self) -> None: ...

    async def update_weights(
        self,
        weights: Iterable[tuple[str, torch.Tensor]],
        wire_format: str = "named_tensors",
        global_steps: int | None = None,
        **_: Any,
    ) -> None:
        if wire_format != "named_tensors":
            raise ValueError(f"the CPU rollout takes named tensors, not {wire_format!r}")
        sent: dict[str, torch.Tensor] = {}
        for name, weight in weights:  # every rank has to run through it, because it gathers the shards
            whole = weight.full_tensor() if hasattr(weight, "full_tensor") else weight
            if self.first:
                sent[name] = whole.detach().to("cpu", torch.float32).clone()
        if self.first:
            await ray.get_actor(server_name(self.replica_rank)).load.remote(sent, global_steps)
