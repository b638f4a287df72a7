"""What a machine that does not see the workspace needs to compute parts of a scoring pass: settings and models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alcli.artifacts.predictor import Predictor, load_predictor
from alcli.artifacts.trained import COMPARING
from alcli.artifacts.trainings import accepted_models
from alcli.config import Config, check
from alcli.context import Context
from alcli.system.clock import now
from alcli.system.progress import Silent
from alcli.workspace import Workspace
from alcli.workspace.records import Scored, StartingWeights, StepRecord, Summary, Training

NAME = "model-{}.safetensors"


@dataclass(frozen=True)
class Kit:
    """Settings with resolved paths, the model and the records around it; images are elsewhere, at their addresses.

    Attributes:
        cycle: of the model. steps: (cycle, inputs, SHA-256 of a model or None, summary).
        models: content by SHA-256.
    """

    config: Config
    cycle: int
    steps: Sequence[tuple[int, str, str | None, Summary]]
    models: dict[str, bytes]

    @classmethod
    def of(cls, context: Context, record: StepRecord[Training], names: frozenset[str]) -> Kit:
        """The kit of a finished training for these signals; raises WorkspaceDamaged if its file is not intact."""
        workspace = context.workspace
        steps: list[tuple[int, str, str | None, Summary]] = [
            *((each.cycle, each.inputs, each.sha256, each.summary) for each in workspace.all_steps(Training)),
            *((each.cycle, each.inputs, each.sha256, each.summary) for each in workspace.all_steps(Scored)),
        ]
        models = [record] if record.file else []
        if COMPARING in names:
            earlier = (each for each in accepted_models(context, record.cycle) if each.sha256 != record.sha256)
            models += [each for each in earlier if each.file and each.file.is_file()][:1]
        content = {str(model.sha256): workspace.verify_file(model).read_bytes() for model in models}
        if weights := workspace.step(0, StartingWeights):
            steps.append((0, "", None, weights.summary))
        # Checked anew, it no longer says which settings came from a file: whoever may trust them, has by now.
        settings = check(context.config.resolve_all(workspace.root).model_dump())
        return cls(settings, record.cycle, steps, content)

    def unpack(self, root: Path) -> tuple[Context, Predictor]:
        """Make a small workspace of it in a new folder, and load its model."""
        workspace = Workspace.create(root, {})
        for number in sorted({cycle for cycle, *_ in self.steps if cycle}):
            workspace.store.start_cycle(number, "", now())
        for cycle, inputs, sha256, summary in self.steps:
            file = NAME.format(sha256) if sha256 in self.models else NAME.format("gone")
            name = file if isinstance(summary, Training) and sha256 else None
            workspace.store.put_step(cycle, summary.step, inputs, name, sha256, json.dumps(summary.document()), now())
        for sha256, content in self.models.items():
            (root / NAME.format(sha256)).write_bytes(content)
        context = Context(workspace, self.config, Silent())
        record = workspace.step(self.cycle, Training)
        assert record is not None  # ``of`` has put it there
        return context, load_predictor(context, record)
