#!/usr/bin/env bash
# Sports: the COCO file lists half of three hundred people.
set -euo pipefail
work="${1:-$(mktemp -d)}"
data="$ALCLI_DATA"
epochs="${EPOCHS:-5}"
mkdir -p "$work/images"
python3 - "$data/lsp" "$work" <<'PYTHON'
import json, shutil, sys
from pathlib import Path

source, work = map(Path, sys.argv[1:])
document = json.loads((source / "person_keypoints_pool.json").read_text())
images = document["images"][:300]
for image in images:
    shutil.copy(source / "images" / image["file_name"], work / "images")
document["images"] = images[::2]
known = {image["id"] for image in document["images"]}
document["annotations"] = [row for row in document["annotations"] if row["image_id"] in known]
(work / "labels.json").write_text(json.dumps(document))
PYTHON
alcli init "$work/W" --task pose --platform folder --images "$work/images" --annotations "$work/labels.json" \
    --model mobilenet-v2 --weights "${ALCLI_WEIGHTS:-none}" --budget 20 --set train.epochs="$epochs"
alcli cycle -w "$work/W" || [ $? -eq 3 ] # 3: done, but some annotations could not be used
alcli export-csv -w "$work/W" -o "$work/out.csv"
