#!/usr/bin/env bash
# Clothes: sixty pictures of each class, half of them already sorted into class folders.
set -euo pipefail
work="${1:-$(mktemp -d)}"
data="$ALCLI_DATA"
epochs="${EPOCHS:-5}"
mkdir -p "$work/images"
for class in "$data"/clothing/train/*/; do
    name="$(basename "$class")"
    mkdir -p "$work/labels/$name"
    find "$class" -name '*.jpg' | sort | head -60 | while read -r file; do cp "$file" "$work/images"; done
    find "$class" -name '*.jpg' | sort | head -60 | awk 'NR % 2' | while read -r file; do cp "$file" "$work/labels/$name"; done
done
alcli init "$work/W" --task classification --platform folder --images "$work/images" --annotations "$work/labels" \
    --model mobilenet-v2 --weights "${ALCLI_WEIGHTS:-none}" --budget 20 --set train.epochs="$epochs"
alcli cycle -w "$work/W" || [ $? -eq 3 ] # 3: done, but some annotations could not be used
alcli export-csv -w "$work/W" -o "$work/out.csv"
