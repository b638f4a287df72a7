"""Properties of joints by name: mirror partner, OKS sigma, torso."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alcli.errors import UsageError

SIGMAS = {
    "nose": 0.026, "eye": 0.025, "ear": 0.035, "shoulder": 0.079, "elbow": 0.072, "wrist": 0.062,
    "hip": 0.107, "knee": 0.087, "ankle": 0.089, "head": 0.079, "head_top": 0.079, "neck": 0.079,
}  # fmt: skip
"""Standard deviation of annotators per joint, relative to the square root of the area: COCO's from pycocotools; head
and neck from CrowdPose (Li et al., CVPR 2019)."""
OTHER_SIGMA = 0.079
SIDES = (("left", "right"), ("l", "r"))


def flip_order(joints: Sequence[str], pairs: Sequence[tuple[str, str]]) -> list[int]:
    """Index of each joint's mirror partner; a joint without a partner is its own.

    Args:
        pairs: mirror partners; if empty, ``left_x`` and ``right_x`` (also ``x_left``, ``l_x``) by name.

    Raises:
        UsageError: a pair names an unknown joint.
    """
    partner = {name: other for pair in pairs for name, other in (pair, pair[::-1])}
    if unknown := sorted(set(partner) - set(joints)):
        raise UsageError(
            f"task.flip_pairs names unknown joints: {', '.join(unknown)}.", do=f"Known: {', '.join(joints)}."
        )
    if not pairs:
        partner = {name: mirror_name(name) for name in joints}
    return [joints.index(partner.get(name, name)) if partner.get(name, name) in joints else index
            for index, name in enumerate(joints)]  # fmt: skip


def mirror_name(joint: str) -> str:
    """``left_knee`` → ``right_knee``; a name without a side stays the same."""
    words = joint.split("_")
    swap = {name: other for pair in SIDES for name, other in (pair, pair[::-1])}
    return "_".join(swap.get(word, word) for word in words)


def sigmas(joints: Sequence[str], given: Mapping[str, float]) -> list[float]:
    """The OKS sigma of each joint: from ``given``, else by its name without the side, else 0.079."""
    return [given.get(name, SIGMAS.get(_without_side(name), OTHER_SIGMA)) for name in joints]


def torso(joints: Sequence[str]) -> list[tuple[str, str]]:
    """The torso diagonals whose joints are in the schema, left shoulder to right hip first."""
    diagonals = [("left_shoulder", "right_hip"), ("right_shoulder", "left_hip")]
    return [pair for pair in diagonals if set(pair) <= set(joints)]


def _without_side(joint: str) -> str:
    sides = {word for pair in SIDES for word in pair}
    return "_".join(word for word in joint.split("_") if word not in sides)
