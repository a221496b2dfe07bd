#!/usr/bin/env bash
# SCoRe-RL of the miniature student on a CPU: verl with RL/verl_cpu, the rest as on GPUs.
#
#   cd RL && bash SCoRe_Script/run_miniature_cpu.sh [--dry-run] [KEY=VALUE ...]
#
# Everything is a variable (launch.sh lists them) or a Hydra override behind the script:
#   SEED=1 STEPS=120 LR=5e-5 bash SCoRe_Script/run_miniature_cpu.sh actor_rollout_ref.rollout.n=4
# A killed run goes on from its last checkpoint with the same command. It leaves the trained student as a Hugging Face
# checkpoint in EXPORT and a line per step in EXPORT/metrics.jsonl.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
RUN=${SCORE_RUN:-$RL_ROOT/../output/miniature/seed${SEED:-${SCORE_SEED:-0}}}
export SCORE_RUN=$RUN
MODEL=${MODEL:-$RUN/sft}
DATA=${DATA:-$RUN/data/rl}
OUTPUT=${OUTPUT:-$RUN/rl_training}
EXPORT=${EXPORT:-$RUN/rl}
SETTINGS=${SETTINGS:-$RL_ROOT/../configs/miniature/RL.yaml}
SEED=${SEED:-${SCORE_SEED:-0}}

export VERL_PLATFORM=cpu VERL_USE_EXTERNAL_MODULES=verl_cpu
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false PYTHONWARNINGS=ignore RAY_AUTH_MODE=disabled
# Many processes on few cores: one thread each, more only where one works alone.
export OMP_NUM_THREADS=1 TQ_NUM_THREADS=1 VERL_CPU_TRAIN_THREADS=${VERL_CPU_TRAIN_THREADS:-2}

ray_directory=$(mktemp -d /tmp/score_ray.XXXXXX) # Ray's sockets need a short path
trap 'rm -rf "$ray_directory"' EXIT
launch miniature_cpu +ray_kwargs.ray_init._temp_dir="$ray_directory" "$@"
