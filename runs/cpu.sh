#!/usr/bin/env bash
# The whole road on one CPU: from generated tasks to a scored SCoRe student, with the scripts and engines of the GPU road.
#
#   SEED=0 FRESH= bash runs/cpu.sh       (`make demo` sets up the environment first)
#
# Every stage leaves its output under output/miniature/seed$SEED and is skipped when it is complete; a stage that was
# interrupted goes on where it stopped. FRESH=1 starts over. Nothing here is particular to the miniature but the
# configs under configs/miniature, the expert that plays the teacher, and the server that plays vLLM.
set -euo pipefail
{ # bash reads the whole road before it starts, so the file may be edited while it runs
cd "$(dirname "$0")/.."
ROOT=$PWD
SEED=${SEED:-0}
export SCORE_RUN=$ROOT/output/miniature/seed$SEED SCORE_SEED=$SEED
RUN=$SCORE_RUN
PYTHON=$ROOT/.venv/bin/python
export PATH=$ROOT/.venv/bin:$PATH HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false DISABLE_VERSION_CHECK=1
export HF_DATASETS_CACHE=$RUN/cache PYTHONWARNINGS=ignore

[ -z "${FRESH:-}" ] || rm -rf "$RUN"
mkdir -p "$RUN/log" "$RUN/done"
exec 9> "$RUN/lock"
flock -n 9 || { echo "another run is writing $RUN: wait for it or stop it" >&2; exit 1; }

SERVERS=()
stop_servers() { [ ${#SERVERS[@]} -eq 0 ] || kill "${SERVERS[@]}" 2> /dev/null || true; SERVERS=(); }

# stage NAME COMMAND...: run a stage unless it is done; its seconds are kept, so that a resumed run adds up. The subshell
# is no part of an `||` list, in which bash would go on after an error; its servers end with it.
stage() {
  local name=$1 began=$SECONDS code; shift
  [ -f "$RUN/done/$name" ] && { echo "== $name: done before"; return; }
  echo "== $name"
  set +e
  (trap stop_servers EXIT; set -e; "$@")
  code=$?
  set -e
  if [ $code -ne 0 ]; then
    echo "stage $name failed (exit $code); logs are in $RUN/log; the same command goes on from here" >&2
    exit 1
  fi
  echo $((SECONDS - began)) > "$RUN/done/$name"
  echo "== $name: $((SECONDS - began)) s"
}
# Exit code 3 says that some tasks failed for reasons outside the students: they are tried once more.
again() {
  local code=0
  "$@" || code=$?
  [ $code -eq 3 ] || return $code
  echo "some tasks failed: once more" >&2
  "$@"
}

free_port() { $PYTHON -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
# serve NAME URL-VARIABLE COMMAND...: start a server in the background and wait until it answers.
serve() {
  local name=$1 variable=$2 port; shift 2
  port=$(free_port)
  "$@" --port "$port" > "$RUN/log/$name.log" 2>&1 9>&- &
  SERVERS+=($!)
  export "$variable=http://127.0.0.1:$port/v1"
  $PYTHON - "$port" $! <<'PY' || { tail -20 "$RUN/log/$name.log" >&2; return 1; }
import os, sys, time, urllib.error, urllib.request
port, process = int(sys.argv[1]), int(sys.argv[2])
for _ in range(600):
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
        sys.exit(0)
    except OSError:
        os.kill(process, 0)
        time.sleep(0.1)
sys.exit("the server did not answer within a minute")
PY
}

train() { # train STUDENT-IN STUDENT-OUT CONFIG DATA
  (cd SFT && OMP_NUM_THREADS=${SCORE_THREADS:-2} GOMP_SPINCOUNT=20000 llamafactory-cli train "../configs/miniature/$3" model_name_or_path="$RUN/$1" \
    dataset_dir="$RUN/$4" output_dir="$RUN/$2" seed="$SEED" 2>&1 | $PYTHON -u -m score.trainer_log "$RUN/log/train_$2.log" "training $2 (steps)")
}
answers() { # answers STUDENT SPLIT: serve one student and let it answer a split
  serve "student_$1" SCORE_STUDENT_URL $PYTHON -m score.serving --model "$RUN/$1"
  (cd inference && again $PYTHON inference_api.py --config ../configs/miniature/inference.yaml \
    --set tasks="$RUN/world/$2.jsonl" --set output="$RUN/answers/$1_$2.jsonl")
}

# 0. a world, and a student: random weights that learn to copy, as a real student's pre-training has taught it
stage world $PYTHON -m score.miniature.world --seed "$SEED" --output "$RUN/world"
stage weights $PYTHON -m score.miniature.student --corpus "$RUN/world" --output "$RUN/weights" --seed "$SEED"
stage copying $PYTHON -m score.miniature.copying --world "$RUN/world" --output "$RUN/copying" --seed "$SEED"
pretraining() { SCORE_THREADS=1 train weights student pretraining.yaml copying; } # short texts: a second thread waits more than it helps
stage pretraining pretraining
expert() { serve expert SCORE_EXPERT_URL $PYTHON -m score.miniature.expert --key "$RUN/world/answer_key.jsonl"; }

# 1. cold start: the teacher alone, then behaviour cloning
bc_data() { expert; (cd MPS && again $PYTHON BC_init_data_gen.py --config ../configs/miniature/BC_data_gen.yaml) ; }
bc_format() { (cd MPS && $PYTHON format/BC_init_llamafactory_format_convert.py --config ../configs/miniature/format.yaml); }
stage bc_data bc_data
stage bc_format bc_format
stage bc_train train student bc BC_init.yaml data

# 2. mentored problem solving, then SFT on what was corrected
mps_data() {
  expert
  serve student_bc SCORE_STUDENT_URL $PYTHON -m score.serving --model "$RUN/bc"
  (cd MPS && again $PYTHON SCoRe_data_gen.py --config ../configs/miniature/SCoRe_data_gen.yaml)
}
sft_format() { (cd MPS && $PYTHON format/SCoRe_SFT_llamafactory_format_convert.py --config ../configs/miniature/format.yaml); }
stage mps_data mps_data
stage sft_format sft_format
stage sft_train train bc sft SCoRe_SFT.yaml data

# 3. SCoRe-RL: short rollouts from the verified prefixes
rl_format() { (cd MPS && $PYTHON format/SCoRe_RL_convert.py --config ../configs/miniature/format.yaml); }
rl_train() {
  expert
  bash RL/SCoRe_Script/train_miniature.sh standard "$SEED" 2>&1 | $PYTHON -u -m score.trainer_log "$RUN/log/train_rl.log" "training rl (steps)"
}
stage rl_format rl_format
stage rl_train rl_train

# 4. the three students on the same test tasks
mkdir -p "$RUN/answers"
for student in bc sft rl; do stage "answers_$student" answers "$student" test; done
evaluate() {
  expert
  (cd inference && $PYTHON evaluate.py --config ../configs/miniature/evaluate.yaml \
    --results bc="$RUN/answers/bc_test.jsonl" sft="$RUN/answers/sft_test.jsonl" rl="$RUN/answers/rl_test.jsonl" \
    --json "$RUN/results.json" --plot "$RUN/results.png" --title "SCoRe in miniature, seed $SEED" \
    --note seed="$SEED" --note seconds="$(awk '{sum += $1} END {print sum}' "$RUN"/done/*)")
  cp "$RUN/results.json" "$RUN/results.png" output/miniature/
}
rm -f "$RUN/done/evaluate" # cheap, and the table is what one came for
stage evaluate evaluate
echo "the figures are in output/miniature/results.json, the plot in output/miniature/results.png"
exit
}
