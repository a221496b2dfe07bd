"""The composed configs are what verl's own classes and validator accept, without a GPU."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from rl_settings import RLSettings

from score.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
RL = ROOT / "RL"
SCRIPTS = RL / "SCoRe_Script"
# Our own keys, below places that verl hands on as they are: to a custom class or function, to Ray, to the advantage
# estimator that we register. Everything else has to be a key of verl's ppo_trainer.yaml.
OURS = (
    "algorithm.score_grpo.",
    "trainer.v1.sampler.sampler_kwargs.",
    "reward.custom_reward_function.reward_kwargs.",
    "ray_kwargs.ray_init.",
    "transfer_queue.backend.SimpleStorage.",
    "actor_rollout_ref.model.override_config.",
    "actor_rollout_ref.actor.fsdp_config.mixed_precision.",  # a mapping of verl's FSDPEngineConfig, in no YAML of it
    "actor_rollout_ref.ref.fsdp_config.mixed_precision.",
    "data.return_raw_chat",
)


@pytest.fixture
def composed(tiny_student: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Compose a config as the launchers do, for a student that exists."""
    monkeypatch.setenv("SCORE_RL_ROOT", str(RL))
    monkeypatch.setenv("SCORE_RL_SETTINGS", str(RL / "configs" / "RL.yaml"))
    places = [
        f"actor_rollout_ref.model.path={tiny_student}",
        "trainer.default_local_dir=o",
        "hydra.searchpath=[pkg://verl.trainer.config]",
    ]

    def make(name: str, *overrides: str) -> Any:
        with initialize_config_dir(str(RL / "configs"), version_base=None):
            return compose(name, [*places, *overrides])

    return make


def values(config: Any, *keys: str) -> list[Any]:
    return [OmegaConf.select(config, key) for key in keys]


def keys_of(config: Any, prefix: str = "") -> set[str]:
    found = set()
    for key, value in OmegaConf.to_container(config, resolve=False).items():  # type: ignore[union-attr]
        found |= _flat(value, f"{prefix}{key}")
    return found


def _flat(value: Any, name: str) -> set[str]:
    if not isinstance(value, dict) or not value:
        return {name}
    return {key for inner, item in value.items() for key in _flat(item, f"{name}.{inner}")}


@pytest.mark.parametrize("backend", ["sglang", "vllm"])
@pytest.mark.parametrize(
    "name, more, devices",
    [
        ("score_grpo", [], (8, 1)),
        ("one_gpu", [], (1, 1)),
        ("one_gpu", ["actor_rollout_ref.model.lora_rank=32", "actor_rollout_ref.rollout.load_format=safetensors"], (1, 1)),
        ("nodes", [], (8, 2)),
    ],
    ids=["8 GPUs", "1 GPU", "1 GPU, LoRA", "2 nodes"],
)  # fmt: skip
def test_the_gpu_configs_are_accepted_by_verl(
    backend: str, name: str, more: list[str], devices: tuple[int, int], composed: Any
) -> None:
    from verl.utils.config import omega_conf_to_dataclass, validate_config

    if more and backend == "vllm":
        pytest.skip("with LoRA, verl's own check imports vLLM, which has no CPU wheels")
    config = composed(name, f"actor_rollout_ref.rollout.name={backend}", *more)
    assert (config.trainer.n_gpus_per_node, config.trainer.nnodes) == devices
    validate_config(config=config, use_reference_policy=False, use_critic=False)
    for part in ("actor", "model", "rollout"):
        omega_conf_to_dataclass(config.actor_rollout_ref[part])
    rollout = omega_conf_to_dataclass(config.actor_rollout_ref.rollout)
    assert (rollout.name, rollout.temperature, rollout.top_p, rollout.top_k) == (backend, 1.0, 1, -1)
    assert rollout.multi_turn.max_assistant_turns == 8
    assert devices[0] * devices[1] % rollout.tensor_model_parallel_size == 0
    algorithm = OmegaConf.to_container(config.algorithm)
    assert isinstance(algorithm, dict)
    own = algorithm.pop("score_grpo")  # read by RL/advantage.py
    assert own == {"negative_scale": 1.0, "credit": "rollout"}
    omega_conf_to_dataclass(OmegaConf.create(algorithm))


@pytest.mark.parametrize("name", ["score_grpo", "one_gpu", "nodes", "miniature_cpu"])
def test_no_config_has_a_key_that_verl_does_not_know(name: str, composed: Any) -> None:
    base = _verls_own_keys()
    unknown = {key for key in keys_of(composed(name)) - base if not key.startswith(OURS)}
    # A key that is a mapping at verl (`{}`) and filled by us, or the other way round, is known by its beginning.
    assert {key for key in unknown if not any(key.startswith(f"{known}.") for known in base)} == set()


def _verls_own_keys() -> set[str]:
    import verl

    folder = Path(verl.__file__).parent / "trainer" / "config"
    with initialize_config_dir(str(folder), version_base=None):
        return keys_of(compose("ppo_trainer"))


def test_the_gpu_config_holds_the_settings_of_the_original_runs(composed: Any) -> None:
    found = values(
        composed("score_grpo"),
        "data.train_batch_size",
        "actor_rollout_ref.rollout.n",
        "data.max_prompt_length",
        "data.max_response_length",
        "actor_rollout_ref.actor.ppo_mini_batch_size",
        "actor_rollout_ref.actor.optim.lr",
        "actor_rollout_ref.actor.use_kl_loss",
        "actor_rollout_ref.actor.entropy_coeff",
        "actor_rollout_ref.rollout.tensor_model_parallel_size",
        "trainer.total_epochs",
        "trainer.save_freq",
        "trainer.test_freq",
        "trainer.n_gpus_per_node",
        "actor_rollout_ref.rollout.trace.backend",
    )
    assert found == [128, 16, 2048, 4096, 16, 7e-7, False, 0.0, 2, 3, 6, 2, 8, "mlflow"]
    assert "mlflow" in composed("score_grpo").trainer.logger


@pytest.mark.parametrize("name", ["score_grpo", "one_gpu", "nodes", "miniature_cpu"])
def test_what_ray_is_started_with_refers_to_nothing(name: str, composed: Any) -> None:
    """verl hands `ray_init` over unresolved: a reference would arrive as the text `${...}`."""
    assert "${" not in str(OmegaConf.to_container(composed(name).ray_kwargs, resolve=False))


def test_rays_workers_on_other_nodes_get_the_launchers_environment(tmp_path: Path) -> None:
    """What is not set stays out: an empty value would hide that of .env. Keys would be logged."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"OUTPUT": str(tmp_path / "it's, a=run"), "MLFLOW_TRACKING_URI": "http://flow:5000/x?y=1,2"}
    environment.pop("REWARD_API_BASE", None)
    done = subprocess.run(
        ["bash", "SCoRe_Script/run_qwen2.5-7b_nodes.sh", "--dry-run"],
        cwd=RL, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    printed = OmegaConf.create(done.stdout[done.stdout.index("actor_rollout_ref:") :])
    found = printed.ray_kwargs.ray_init.runtime_env.env_vars
    assert found["SCORE_RL_SETTINGS"] == str(RL / "configs" / "RL.yaml")
    assert found["SCORE_RL_ROOT"] == str(RL) and found["PYTHONPATH"].startswith(f"{RL}:{ROOT}")
    assert found["VERL_FILE_LOGGER_PATH"].startswith(environment["OUTPUT"])
    assert found["MLFLOW_TRACKING_URI"] == environment["MLFLOW_TRACKING_URI"]
    assert "REWARD_API_BASE" not in found and not any("KEY" in name for name in found)


def test_the_settings_for_real_models_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWARD_API_BASE", "http://127.0.0.1:1/v1")
    settings = load_settings(RLSettings, RL / "configs" / "RL.yaml")
    assert settings.reward.same_as_teacher == 0.5 and settings.reward.cache is not None
    assert settings.endpoints.reward is not None and settings.endpoints.reward.timeout_s == 60


def test_a_launchers_dry_run_prints_the_config_with_variables_and_overrides() -> None:
    """Of all launchers one: they share launch.sh, and each start of verl takes seconds."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "BACKEND": "vllm", "LR": "1e-6", "LORA": "16", "KL": "0.01", "SEED": "7",
        "RUN_NAME": "mine", "NAME": "laptop",  # WSL sets that one
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "SCoRe_Script/run_qwen2.5-1.5b_one_gpu.sh", "--dry-run", "trainer.save_freq=11"],
        cwd=RL, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    printed = OmegaConf.create(done.stdout[done.stdout.index("actor_rollout_ref:") :])
    rollout, actor = printed.actor_rollout_ref.rollout, printed.actor_rollout_ref.actor
    assert (rollout.name, actor.optim.lr, printed.actor_rollout_ref.model.lora_rank) == ("vllm", 1e-6, 16)
    assert (actor.use_kl_loss, actor.kl_loss_coef, printed.data.seed, printed.trainer.save_freq) == (True, 0.01, 7, 11)
    assert printed.trainer.experiment_name == "mine"
    assert not (RL / "output" / "qwen2.5-1.5b_one_gpu").exists()


@pytest.mark.parametrize(
    "script", sorted(SCRIPTS.glob("*.sh")) + sorted(SCRIPTS.glob("*.sbatch")), ids=lambda p: p.name
)
def test_scripts_are_bash_and_name_a_config_that_exists(script: Path) -> None:
    assert subprocess.run(["bash", "-n", str(script)], capture_output=True).returncode == 0
    for line in script.read_text(encoding="utf-8").splitlines():
        if line.startswith("launch "):
            assert (RL / "configs" / f"{line.split()[1]}.yaml").is_file()
