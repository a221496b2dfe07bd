# Sourced by the launchers: `launch CONFIG KEY=VALUE...` trains with verl and RL/configs/CONFIG.yaml, then leaves the
# student as a Hugging Face checkpoint in EXPORT, with metrics.jsonl in it and EXPORT.manifest.json beside it. Where
# OUTPUT has a checkpoint it goes on from there; with another student, other data or other settings than the run began
# with, it refuses to, unless ACCEPT_CHANGES=1 (run_manifest.py).
#
# A launcher sets MODEL, DATA (folder with train.parquet and val.parquet), OUTPUT, EXPORT and SETTINGS (rl_settings.py)
# and says what is particular to its machine. Each variable of the table below that is set overrides its key; what the
# user typed behind the launcher (Hydra overrides) comes last and wins. --dry-run prints the composed config.
# EXPORT_FROM=best exports the checkpoint with the best validation instead of the last. RESTARTS=n starts a run that
# failed (a worker died) again from its last checkpoint, at most n times, each time only if it got further than before.
RL_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

VARIABLES="
MODEL=actor_rollout_ref.model.path
BATCH=data.train_batch_size
ROLLOUTS=actor_rollout_ref.rollout.n
MINI_BATCH=actor_rollout_ref.actor.ppo_mini_batch_size
PROMPT_LENGTH=data.max_prompt_length
RESPONSE_LENGTH=data.max_response_length
TURNS=actor_rollout_ref.rollout.multi_turn.max_assistant_turns
LR=actor_rollout_ref.actor.optim.lr
ENTROPY=actor_rollout_ref.actor.entropy_coeff
TENSOR_PARALLEL=actor_rollout_ref.rollout.tensor_model_parallel_size
BACKEND=actor_rollout_ref.rollout.name
EPOCHS=trainer.total_epochs
STEPS=trainer.total_training_steps
SAVE_FREQ=trainer.save_freq
TEST_FREQ=trainer.test_freq
GPUS=trainer.n_gpus_per_node
NODES=trainer.nnodes
GPU_MEMORY=actor_rollout_ref.rollout.gpu_memory_utilization
TOOL_CONFIG=actor_rollout_ref.rollout.multi_turn.tool_config_path
RUN_NAME=trainer.experiment_name
NORM_BY_STD=algorithm.norm_adv_by_std_in_grpo
NEGATIVE_SCALE=algorithm.score_grpo.negative_scale
CREDIT=algorithm.score_grpo.credit
FILTER_GROUPS=algorithm.filter_groups.enable
BYPASS=algorithm.rollout_correction.bypass_mode
UNSCORED_LIMIT=trainer.v1.sampler.sampler_kwargs.unscored_limit
"

# What Ray's workers need of this environment: those of a cluster that `ray start` made, here or on other nodes, have
# their own. Keys are not among them, since Ray logs these: they belong into .env, or into `ray start`'s environment.
FORWARDED="PYTHONPATH SCORE_RL_ROOT SCORE_RL_SETTINGS SCORE_RL_CACHE VERL_FILE_LOGGER_PATH MLFLOW_TRACKING_URI
  REWARD_API_BASE"

from_variables() { # prints a Hydra override for each variable that is set
  local pair name
  for pair in $VARIABLES; do
    name=${pair%%=*}
    [ -z "${!name:-}" ] || echo "${pair#*=}=${!name}"
  done
  if [ -n "${KL:-}" ]; then # KL=0 leaves the reference model out
    awk "BEGIN {exit !($KL > 0)}" && echo actor_rollout_ref.actor.use_kl_loss=true || echo actor_rollout_ref.actor.use_kl_loss=false
    echo actor_rollout_ref.actor.kl_loss_coef="$KL"
  fi
  if [ -n "${LORA:-}" ]; then # its rank; the rollout then reads the base model itself
    printf '%s\n' actor_rollout_ref.model.lora_rank="$LORA" actor_rollout_ref.model.lora_alpha=$((2 * LORA)) \
      actor_rollout_ref.rollout.load_format=safetensors
  fi
  if [ -n "${SEED:-}" ]; then
    printf '%s\n' data.seed="$SEED" actor_rollout_ref.rollout.seed="$SEED" actor_rollout_ref.actor.data_loader_seed="$SEED"
  fi
}

text() { # KEY TEXT: a Hydra override, whatever the text holds
  local quote=\'
  echo "$1='${2//$quote/\\$quote}'"
}

forwarded() { # prints a Hydra override for each of these variables that is set
  local name
  for name in $FORWARDED; do
    [ -z "${!name:-}" ] || text "+ray_kwargs.ray_init.runtime_env.env_vars.$name" "${!name}"
  done
}

train() { # CONFIG KEY=VALUE...: one start of verl, with a log of its own (training_metrics.py joins those of a run)
  local config=$1 environment=(); shift
  export VERL_FILE_LOGGER_PATH=$OUTPUT/log/verl_$(date +%Y%m%d_%H%M%S).jsonl
  mapfile -t environment < <(forwarded)
  python -m verl.trainer.main_ppo --config-dir "$RL_ROOT/configs" --config-name "$config" "${environment[@]}" "$@"
}

launch() {
  local config=$1; shift
  local arguments=() overrides=() dry= value
  for value in "$@"; do [ "$value" = --dry-run ] && dry=1 || arguments+=("$value"); done
  mapfile -t overrides < <(from_variables)
  export SCORE_RL_ROOT=$RL_ROOT SCORE_RL_SETTINGS=$(realpath -m "$SETTINGS")
  export PYTHONPATH=$RL_ROOT:$(dirname "$RL_ROOT")${PYTHONPATH:+:$PYTHONPATH}
  export RAY_USAGE_STATS_ENABLED=0 SCORE_RL_CACHE=${SCORE_RL_CACHE:-$OUTPUT/judge_cache_$(hostname).sqlite}
  local place settings=("$(text data.train_files "$DATA/train.parquet")" "$(text data.val_files "$DATA/val.parquet")"
    "$(text trainer.default_local_dir "$OUTPUT/checkpoints")" "${overrides[@]}" "${arguments[@]}")
  place=$(text hydra.run.dir "$OUTPUT/log/hydra")
  if [ -n "$dry" ]; then train "$config" "${settings[@]}" "$place" --cfg job --resolve; return; fi
  mkdir -p "$OUTPUT/log"
  local accepted=()
  [ "${ACCEPT_CHANGES:-}" != 1 ] || accepted=(--accept-changes)
  python "$RL_ROOT/run_manifest.py" begin --config-name "$config" --output "$OUTPUT" "${accepted[@]}" "${settings[@]}"
  local tracker=$OUTPUT/checkpoints/latest_checkpointed_iteration.txt left=${RESTARTS:-0} before
  while true; do
    before=$(cat "$tracker" 2> /dev/null || echo 0)
    if train "$config" "${settings[@]}" "$place"; then break; fi
    if [ "$left" -le 0 ] || [ "$(cat "$tracker" 2> /dev/null || echo 0)" -le "$before" ]; then return 1; fi
    left=$((left - 1))
    echo "the run failed; it goes on from step $(cat "$tracker") ($left more restarts)" >&2
  done
  python "$RL_ROOT/export_checkpoint.py" --checkpoints "$OUTPUT/checkpoints" --output "$EXPORT" --which "${EXPORT_FROM:-last}"
  python "$RL_ROOT/training_metrics.py" --log "$OUTPUT/log" --output "$EXPORT/metrics.jsonl"
  python "$RL_ROOT/run_manifest.py" end --output "$OUTPUT" --export "$EXPORT" > /dev/null
}
