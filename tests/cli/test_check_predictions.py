"""`alcli check-predictions`."""

from __future__ import annotations

import json


def test_a_good_file_is_summed_up(tmp_path, alcli):
    path = tmp_path / "p.jsonl"
    path.write_text(
        '{"name": "a", "boxes": [[0, 0, 9, 9]], "scores": [0.5], "labels": ["cat"]}\n{"name": "b", "boxes": []}\n'
    )
    code, out, _ = alcli("check-predictions", path)
    assert code == 0 and "2 images" in out and "boxes: 2" in out and "classes: cat" in out


def test_every_problem_is_listed_and_the_code_is_5(tmp_path, alcli):
    path = tmp_path / "p.jsonl"
    path.write_text('{"name": "a", "probabilities": {"cat": NaN}}\n{"name": "b", "probabilities": {"cat": 7}}\n')
    code, out, _ = alcli("check-predictions", path, "--json")
    document = json.loads(out)
    assert code == 5 and document["broken"] == 2 and document["images"] == 0
    assert "line 1" in document["problems"][0] and "logits" in document["problems"][1]


def test_with_a_workspace_names_and_classes_are_compared(workspace, tmp_path, alcli):
    assert alcli("pull", "-w", workspace)[0] == 0
    path = tmp_path / "p.jsonl"
    line = {"boxes": [[0, 0, 9, 9]], "scores": [0.5], "labels": ["Cat"]}
    path.write_text("".join(json.dumps({"name": name, **line}) + "\n" for name in ("nowhere.jpg",)))
    code, out, _ = alcli("check-predictions", path, "-w", workspace)
    assert code == 5 and "1 prediction without an image" in out and "of other classes: Cat" in out


def test_a_missing_file(tmp_path, alcli):
    code, _, err = alcli("check-predictions", tmp_path / "p.jsonl")
    assert code == 2 and "There is no" in err
