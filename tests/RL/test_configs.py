"""The composed configs are what verl's own classes and validator accept, without a GPU."""

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from rl_settings import RLSettings

from score.settings import load_settings

RL = Path(__file__).resolve().parents[2] / "RL"
PLACES = [
    "actor_rollout_ref.model.path=m",
    "trainer.default_local_dir=o",
    "hydra.searchpath=[pkg://verl.trainer.config]",
]


def composed(name: str, *overrides: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("SCORE_RL_ROOT", str(RL))
    monkeypatch.setenv("SCORE_RL_SETTINGS", str(RL / "configs" / "RL.yaml"))
    with initialize_config_dir(str(RL / "configs"), version_base=None):
        return compose(name, [*PLACES, *overrides])


def values(config: Any, *keys: str) -> list[Any]:
    return [OmegaConf.select(config, key) for key in keys]


@pytest.mark.parametrize("backend", ["sglang", "vllm"])
def test_the_gpu_config_is_accepted_by_verl(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from verl.utils.config import omega_conf_to_dataclass, validate_config

    config = composed("score_grpo", f"actor_rollout_ref.rollout.name={backend}", monkeypatch=monkeypatch)
    validate_config(config=config, use_reference_policy=False, use_critic=False)
    rollout = omega_conf_to_dataclass(config.actor_rollout_ref.rollout)
    assert (rollout.name, rollout.n, rollout.temperature, rollout.top_p, rollout.top_k) == (backend, 16, 1.0, 1, -1)
    assert rollout.multi_turn.max_assistant_turns == 8
    algorithm = OmegaConf.to_container(config.algorithm)
    assert isinstance(algorithm, dict)
    own = algorithm.pop("score_grpo")  # read by RL/advantage.py
    assert own == {"negative_scale": 1.0}
    omega_conf_to_dataclass(OmegaConf.create(algorithm))


def test_the_gpu_config_holds_the_settings_of_the_original_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    config = composed("score_grpo", monkeypatch=monkeypatch)
    found = values(
        config,
        "data.train_batch_size",
        "data.max_prompt_length",
        "data.max_response_length",
        "actor_rollout_ref.actor.ppo_mini_batch_size",
        "actor_rollout_ref.actor.optim.lr",
        "actor_rollout_ref.actor.use_kl_loss",
        "actor_rollout_ref.rollout.tensor_model_parallel_size",
        "trainer.total_epochs",
        "trainer.save_freq",
        "trainer.test_freq",
        "trainer.n_gpus_per_node",
    )
    assert found == [128, 2048, 4096, 16, 7e-7, False, 2, 3, 6, 2, 8]


def test_the_settings_for_real_models_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWARD_API_BASE", "http://127.0.0.1:1/v1")
    assert load_settings(RLSettings, RL / "configs" / "RL.yaml").reward.same_as_teacher == 0.5
