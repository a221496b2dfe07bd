#!/usr/bin/env bash
# The whole road on one CPU: from generated tasks to a scored SCoRe student, with the scripts and engines of the GPU road.
#
#   SEED=0 FRESH= bash runs/cpu.sh       (`make demo` sets up the environment first)
#   REGIME=hard UNTIL=rl_format bash runs/cpu.sh
#
# Every stage leaves its output under output/miniature/seed$SEED and is skipped when it is complete; a stage that was
# interrupted goes on where it stopped. FRESH=1 starts over. runs/study.py uses REGIME=easy and hard, which take students
# that are right so much of the time (regime.sh; hard with problems of 6 to 8 steps in place of 2 to 5) and write to
# easy_seed$SEED and hard_seed$SEED (quick_seed$SEED in its quick form, with fewer tasks to mentor), and UNTIL, which
# names the last stage to run. Nothing here is particular to the miniature but the configs under configs/miniature, the
# expert that plays the teacher, and the server that plays vLLM.
set -euo pipefail
{ # bash reads the whole road before it starts, so the file may be edited while it runs
cd "$(dirname "$0")/.."
source runs/miniature.sh
source runs/regime.sh
run_folder "${REGIME:-demo}" "${SEED:-0}"
hold 9 road
if [ "${FRESH:-}" = 1 ]; then
  for lock in "$RUN.locks"/*; do # RL by itself and the study's jobs write there too
    [ "$lock" = "$RUN.locks/road" ] || flock -n "$lock" true || refuse "$lock"
  done
  rm -rf "$RUN"
  run_folder "$REGIME" "$SEED"
fi

# stage NAME COMMAND...: run a stage unless it is done; its seconds are kept, so that a resumed run adds up. The subshell
# is no part of an `||` list, in which bash would go on after an error; its servers end with it.
stage() {
  local name=$1 began=$SECONDS code; shift
  [ -f "$RUN/done/$name" ] && { echo "== $name: done before"; until_here "$name"; return; }
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
  until_here "$name"
}
until_here() { [ "$1" != "${UNTIL:-}" ] || exit 0; }

# 0. a world, and a student: random weights that learn to copy, as a real student's pre-training has taught it
stage world python -m score.miniature.world --seed "$SEED" --regime "$WORLD" --output "$RUN/world"
stage weights python -m score.miniature.student --corpus "$RUN/world" --output "$RUN/weights" --seed "$SEED"
stage copying python -m score.miniature.copying --world "$RUN/world" --output "$RUN/copying" --seed "$SEED"
pretraining() { SCORE_THREADS=1 train weights student pretraining.yaml copying; } # short texts: a second thread waits more than it helps
stage pretraining pretraining

# 1. cold start: the teacher alone, then behaviour cloning
bc_data() { expert; (cd MPS && again python BC_init_data_gen.py --config ../configs/miniature/BC_data_gen.yaml) ; }
bc_format() { (cd MPS && python format/BC_init_llamafactory_format_convert.py --config ../configs/miniature/format.yaml); }
stage bc_data bc_data
stage bc_format bc_format
stage bc_train cold_start

# 2. mentored problem solving, then SFT on what was corrected
mps_data() {
  expert
  serve student_bc SCORE_STUDENT_URL python -m score.serving --model "$RUN/bc"
  (cd MPS && again python SCoRe_data_gen.py --config ../configs/miniature/SCoRe_data_gen.yaml "${LONG[@]}" "${MENTORING[@]}")
}
sft_format() { (cd MPS && python format/SCoRe_SFT_llamafactory_format_convert.py --config ../configs/miniature/format.yaml $(share)); }
sft_train() { train bc sft SCoRe_SFT.yaml data "${EPOCHS[@]}"; }
stage mps_data mps_data
stage sft_format sft_format
stage sft_train sft_in_regime

# 3. SCoRe-RL: short rollouts from the verified prefixes
rl_format() { (cd MPS && python format/SCoRe_RL_convert.py --config ../configs/miniature/format.yaml $(share)); }
rl_train() {
  expert
  RUN_NAME= bash RL/SCoRe_Script/train_miniature.sh standard "$SEED" 2>&1 | python -u -m score.trainer_log "$RUN/log/train_rl.log" "training rl (steps)"
}
stage rl_format rl_format
stage rl_train rl_train

# 4. the three students on the same test tasks
for student in bc sft rl; do stage "answers_$student" answers "$student" test "${student}_test"; done
evaluate() {
  expert
  (cd inference && python evaluate.py --config ../configs/miniature/evaluate.yaml \
    --results bc="$RUN/answers/bc_test.jsonl" sft="$RUN/answers/sft_test.jsonl" rl="$RUN/answers/rl_test.jsonl" \
    --json "$RUN/results.json" --plot "$RUN/results.png" --title "SCoRe in miniature, seed $SEED" \
    --note seed="$SEED" --note seconds="$(awk '{sum += $1} END {print sum}' "$RUN"/done/*)")
  cp "$RUN/results.json" "$RUN/results.png" "$OUTPUTS/miniature/"
}
rm -f "$RUN/done/evaluate" # cheap, and the table is what one came for
stage evaluate evaluate
echo "the figures are in output/miniature/results.json, the plot in output/miniature/results.png"
exit
}
