"""A command for `alcli init … --learner command`: train a YOLO with Ultralytics, and write its predictions.

In an environment of its own: ``/path/to/its/python yolo.py [--epochs N] [--size PIXELS] FOLDER``; alcli adds FOLDER.
"""

import argparse
import json
import os
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=100)
parser.add_argument("--size", type=int, default=640)
parser.add_argument("folder", type=Path)
options = parser.parse_args()
folder = options.folder.resolve()
os.environ.update(YOLO_OFFLINE="true", YOLO_CONFIG_DIR=str(folder))  # it sends nothing

import ultralytics  # noqa: E402  it reads the environment
import ultralytics.data.utils  # noqa: E402

ultralytics.settings.update({"sync": False})
ultralytics.data.utils.check_font = lambda *_: None  # it would download a font for plots
settings = json.loads((folder / "settings.json").read_text())
earlier = settings["previous_weights"]
start = Path(earlier, "yolo/weights/last.pt") if earlier else Path("yolo11n.yaml")  # the yaml: from scratch
model = ultralytics.YOLO(start)
model.train(
    data=folder / "data.yaml", epochs=options.epochs, imgsz=options.size, seed=settings["seed"], workers=0,
    project=folder / settings["weights"], name="yolo", plots=False, amp=False, val=False,
)  # fmt: skip
model = ultralytics.YOLO(folder / settings["weights"] / "yolo/weights/last.pt")
with (folder / settings["predictions"]).open("w") as out:
    out.write(json.dumps({"alcli_predictions": 1, "classes": settings["classes"], "units": "pixels"}) + "\n")
    for line in [line for name in ("pool.txt", "held_out.txt") for line in (folder / name).read_text().splitlines()]:
        boxes = model.predict(folder / line, imgsz=options.size, conf=0.01, verbose=False)[0].boxes
        labels = [settings["classes"][int(number)] for number in boxes.cls]
        entry = {"boxes": boxes.xyxy.tolist(), "scores": boxes.conf.tolist(), "labels": labels}
        out.write(json.dumps({"name": Path(line).relative_to("images").as_posix(), **entry}) + "\n")
