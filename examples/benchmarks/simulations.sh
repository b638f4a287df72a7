#!/usr/bin/env bash
# Does active learning beat random order? `alcli simulate` on small real sets, one task each; hours on two cores.
#
#   ALCLI_DATA=…  ALCLI_WEIGHTS=mobilenet_v2.safetensors  examples/benchmarks/simulations.sh FOLDER [NAME …]
#
# FOLDER keeps the workspaces: an interrupted run goes on there. What comes out (curves.csv, table.md, curves.png) is
# copied beside this script, below results/simulations/NAME. The networks are small, the images too, the trainings short:
# what is measured is the choice of images under a recipe that two cores can repeat, not the best that each set allows.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
work="$1"
shift
names=("${@:-}")
[ -n "${names[0]}" ] || names=(clothing clothing-regularised bccd camvid lsp)
mkdir -p "$work"

prepare() {  # NAME TASK IMAGES ANNOTATIONS [MORE …]
    local name="$1" task="$2" images="$3" annotations="$4"
    shift 4
    [ -d "$work/$name" ] || alcli init "$work/$name" -q --task "$task" --images "$images" \
        --annotations "$annotations" --weights "$ALCLI_WEIGHTS" "$@"
    # Exit 3 names what is left out (two boxes of no size in BCCD).
    alcli pull -w "$work/$name" || [ $? -eq 3 ]
}

measure() {  # NAME [OPTIONS …]
    local name="$1" code=0
    shift
    alcli simulate -w "$work/$name" "$@" || code=$?
    [ "$code" -eq 0 ] || [ "$code" -eq 3 ] || exit "$code"  # 3: something was left out, and named
    mkdir -p "$here/results/simulations/$name"
    newest="$(ls -d "$work/$name"/simulations/[0-9]* | tail -n 1)"
    cp "$newest"/{curves.csv,curves.png,table.md} "$here/results/simulations/$name/"
}

links() {  # FROM TO: the same tree, its files as links
    (cd "$1" && find . -type f) | while read -r file; do
        mkdir -p "$2/$(dirname "$file")"
        ln -sf "$1/$file" "$2/$file"
    done
}

clothes() {  # NAME
    { echo name,label; (cd "$ALCLI_DATA/clothing" && find . -name '*.jpg' | sort | sed -E 's#^\./(.*/([^/]+)/[^/]+)$#\1,\2#'); } > "$work/clothing.csv"
    prepare "$1" classification "$ALCLI_DATA/clothing" "$work/clothing.csv" --model mobilenet-v2
}

for name in "${names[@]}"; do
    case "$name" in
        clothing)  # a linear head on frozen features, scikit-learn's default strength
            clothes clothing
            measure clothing --frozen --strategies auto,margin,entropy,badge,core-set,learned-loss --seeds 30 \
                --start 50 --budget 100 --cycles 6 --test test/
            ;;
        clothing-regularised)  # a weaker head, C = 0.01
            clothes clothing-regularised
            measure clothing-regularised --frozen --head-c 0.01 --strategies auto,margin,entropy,badge,core-set,learned-loss \
                --seeds 20 --start 50 --budget 100 --cycles 6 --test test/
            ;;
        bccd)
            sed 's/$/.jpg/' "$ALCLI_DATA/bccd/BCCD/ImageSets/Main/test.txt" > "$work/bccd_test.txt"
            prepare bccd detection "$ALCLI_DATA/bccd/BCCD/JPEGImages" "$ALCLI_DATA/bccd/BCCD/Annotations" \
                --model ssd-mobilenet-v2 --set model.input_size=160 --set train.epochs=8 --set train.batch_size=4
            measure bccd --strategies auto,learned-loss --metric ap50 --seeds 5 --start 20 --budget 20 --cycles 3 \
                --test "$work/bccd_test.txt"
            ;;
        camvid)
            links "$ALCLI_DATA/camvid/images" "$work/camvid_images"
            links "$ALCLI_DATA/camvid/masks" "$work/camvid_masks"
            printf '%s\n' Sky Building Pole Road Pavement Tree Sign Fence Car Pedestrian Bicyclist > "$work/camvid_masks/classes.txt"
            prepare camvid segmentation "$work/camvid_images" "$work/camvid_masks" --model mobilenet-v2 \
                --set task.ignore_index=11 --set model.input_size=128 --set train.epochs=8 --set train.batch_size=4
            measure camvid --strategies auto,learned-loss --seeds 5 --start 20 --budget 20 --cycles 2 --test test/
            ;;
        lsp)
            python3 - "$ALCLI_DATA/lsp" "$work/lsp.json" <<'PY'
import json, sys
from pathlib import Path

# The first 300 of the pool and 200 of the test images.
pool, test = (json.loads((Path(sys.argv[1]) / f"person_keypoints_{part}.json").read_text()) for part in ("pool", "test"))
pool["images"], test["images"] = pool["images"][:300], test["images"][:200]
kept = {row["id"] for row in pool["images"] + test["images"]}
rows = [row for row in pool["annotations"] + test["annotations"] if row["image_id"] in kept]
both = {**pool, "images": pool["images"] + test["images"]}
both["annotations"] = [{**row, "id": number} for number, row in enumerate(rows, 1)]
Path(sys.argv[2]).write_text(json.dumps(both))
Path(sys.argv[2]).with_name("lsp_test.txt").write_text("".join(row["file_name"] + "\n" for row in test["images"]))
PY
            prepare lsp pose "$ALCLI_DATA/lsp/images" "$work/lsp.json" --model mobilenet-v2 \
                --set model.input_size=128 --set train.epochs=6 --set train.batch_size=8
            measure lsp --strategies auto,learned-loss --seeds 5 --start 30 --budget 30 --cycles 2 --metric pck \
                --test "$work/lsp_test.txt"
            ;;
        *) echo "There is no simulation $name." >&2; exit 2 ;;
    esac
done
