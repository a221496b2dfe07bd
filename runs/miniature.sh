# Sourced by cpu.sh and study.py's jobs, in the repository's root: the miniature's run folder, servers, training and
# answers. SCORE_OUTPUT is where all runs lie (default: output/).
ROOT=$PWD
OUTPUTS=${SCORE_OUTPUT:-$ROOT/output}
export PATH=$ROOT/.venv/bin:$PATH HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false DISABLE_VERSION_CHECK=1 PYTHONWARNINGS=ignore

# run_folder REGIME SEED: the folder of a run, its world, and what the study's regimes need: an SFT student that is right
# from the question between RIGHT's two shares of the time.
run_folder() {
  LONG=() MENTORING=() SHARES=() RIGHT=() EPOCHS=() COLD_LOSS=
  case $1 in
    demo) RUN=$OUTPUTS/miniature/seed$2 WORLD=easy ;;
    easy) # The demo's students are right too often (seed 0 on an AMD machine 69 %): fewer trajectories, more often.
      RUN=$OUTPUTS/miniature/easy_seed$2 WORLD=easy RIGHT=(0.40 0.60) SHARES=(0.35 0.25 0.17 0.12 0.08)
      EPOCHS=(num_train_epochs=16) ;;
    hard | quick) # More steps to go, and to go wrong in; a plan, 8 operations and the answer are 10 turns. Without a cold start
      # that has come down neither SFT nor RL gets anywhere: in seed 1 it ended at a loss of 0.06, and RL began and ended
      # at 1 % right. SFT has few trajectories and goes over them until it is at its end: 273 for 8 epochs were as often
      # right from the question (15 % at temperature 1), but as much SFT again added 6 points.
      RUN=$OUTPUTS/miniature/$1_seed$2 WORLD=hard LONG=(--set max_steps=10) MENTORING=(--set corrections=4)
      COLD_LOSS=0.03 RIGHT=(0.05 0.15) SHARES=(0.1 0.07 0.05 0.035 0.025) EPOCHS=(num_train_epochs=40)
      if [ "$1" = quick ]; then # a third of the tasks, and so three times the share for as many trajectories
        MENTORING+=(--limit 480) SHARES=(0.3 0.21 0.15 0.1 0.075)
      fi
      export TURNS=11 RESPONSE_LENGTH=448 ;;
    *) echo "a regime is demo, easy, hard or quick, not $1" >&2; return 2 ;;
  esac
  export REGIME=$1 SEED=$2 SCORE_RUN=$RUN SCORE_SEED=$2 HF_DATASETS_CACHE=$RUN/cache
  mkdir -p "$RUN/log" "$RUN/done" "$RUN/answers"
}

# hold FD NAME: the run's lock NAME, or say who holds it and exit. Whatever is started from here inherits it (but servers
# do not), so that a script that was killed keeps it as long as anything that it started still writes. The locks lie
# beside the run's folder, which FRESH=1 deletes.
hold() {
  local lock=$RUN.locks/$2
  mkdir -p "$RUN.locks"
  eval "exec $1>> \"\$lock\""
  flock -n "$1" || { eval "exec $1>&-"; refuse "$lock"; }
}
refuse() {
  local holders
  holders=$(find /proc/[0-9]*/fd -lname "$(realpath "$1")" 2> /dev/null | cut -d / -f 3 | sort -un | paste -sd ' ') || true
  echo "$RUN is being written by ${holders:-a process that cannot be seen from here} (lock $1): wait for it, or stop it" \
    "${holders:+with: kill $holders}" >&2
  exit 1
}

SERVERS=()
stop_servers() { [ ${#SERVERS[@]} -eq 0 ] || kill "${SERVERS[@]}" 2> /dev/null || true; SERVERS=(); }

# Exit code 3 says that some tasks failed for reasons outside the students: they are tried once more.
again() {
  local code=0
  "$@" || code=$?
  [ $code -eq 3 ] || return $code
  echo "some tasks failed: once more" >&2
  "$@"
}

free_port() { python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
# serve NAME URL-VARIABLE COMMAND...: start a server in the background and wait until it answers.
serve() {
  local name=$1 variable=$2 port; shift 2
  port=$(free_port)
  "$@" --port "$port" > "$RUN/log/$name.log" 2>&1 7>&- 8>&- 9>&- & # hold's descriptors
  SERVERS+=($!)
  export "$variable=http://127.0.0.1:$port/v1"
  python - "$port" $! <<'PY' || { tail -20 "$RUN/log/$name.log" >&2; return 1; }
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

# It plays the teacher and the judge.
expert() { serve "expert_$BASHPID" SCORE_EXPERT_URL python -m score.miniature.expert --key "$RUN/world/answer_key.jsonl"; }

# train STUDENT-IN STUDENT-OUT CONFIG DATA [KEY=VALUE ...]: folders of RUN
train() {
  local from=$1 to=$2 config=$3 data=$4; shift 4
  (cd SFT && OMP_NUM_THREADS=${SCORE_THREADS:-2} GOMP_SPINCOUNT=20000 llamafactory-cli train "../configs/miniature/$config" \
    model_name_or_path="$RUN/$from" dataset_dir="$RUN/$data" output_dir="$RUN/$to" seed="$SEED" "$@" 2>&1 \
    | python -u -m score.trainer_log "$RUN/log/train_$to.log" "training $to (steps)")
}

# answers STUDENT SPLIT NAME [--set KEY=VALUE ...]: serve a student of RUN and let it answer a split
answers() {
  local student=$1 split=$2 name=$3; shift 3
  serve "student_$name" SCORE_STUDENT_URL python -m score.serving --model "$RUN/$student"
  (cd inference && again python inference_api.py --config ../configs/miniature/inference.yaml "${LONG[@]}" \
    --set tasks="$RUN/world/$split.jsonl" --set output="$RUN/answers/$name.jsonl" "$@")
}

# sampled STUDENT NAME [...]: its answers to validation from the question at temperature 1, as RL samples
sampled() {
  local student=$1 name=$2 sampling=endpoints.student.sampling; shift 2
  answers "$student" validation "$name" --set $sampling.temperature=1 --set $sampling.top_p=1 --set $sampling.top_k=null "$@"
}
