"""What the paper's own figures show, where it could be read off.

Read by eye or by machine off the published plots, not taken from a table: good
to about 0.02. They stand beside ours as a guide to shape and size, not as
targets.

Reference: Bai et al. 2022.
"""

from __future__ import annotations

Points = tuple[tuple[float, float], ...]  # x, y

# Figure 7, right: accuracy by parameters.
BY_SIZE: dict[str, Points] = {
  'helpful': ((1e7, 0.65), (1e8, 0.67), (1e9, 0.70), (1e10, 0.72)),
  'harmless': ((1e7, 0.61), (1e8, 0.68), (1e9, 0.72), (1e10, 0.72)),
  'all': ((1e7, 0.64), (1e8, 0.67), (1e9, 0.71), (1e10, 0.72)),
}
# Figure 8, right: accuracy by turn of the largest and of a middle size.
BY_TURN: dict[str, Points] = {
  '10B': ((1, 0.74), (2, 0.71), (3, 0.72)),
  '1B': ((1, 0.70), (2, 0.66), (3, 0.66)),
}
# Figure 19: the accuracy of one side's models on the other side.
OTHER_SIDE: dict[str, Points] = {
  'harmless': ((0.0, 0.35),),
  'helpful': ((1.0, 0.375),),
}
# Figure 5, left: accuracy on the HHH evaluation by parameters.
HHH: dict[str, Points] = {
  'LM': ((1e7, 0.59), (1e8, 0.62), (1e9, 0.63), (1e10, 0.67), (1e11, 0.68)),
  'distilled': (
    (1e7, 0.64),
    (1e8, 0.68),
    (1e9, 0.73),
    (1e10, 0.75),
    (1e11, 0.77),
  ),
  'PM': ((1e7, 0.65), (1e8, 0.67), (1e9, 0.79), (1e10, 0.86), (1e11, 0.86)),
}
# Figure 10, right: agreement of preference models and workers, by parameters.
AGREEMENT: dict[str, Points] = {
  'PM and worker': ((1.3e7, 0.60), (5.2e10, 0.68)),
  'PM and researcher': ((1.3e7, 0.56), (5.2e10, 0.64)),
}
# Figure 20: models of both data, by parameters.
SUMMARIES: dict[str, dict[str, Points]] = {
  'dialogues': {'both': ((1.3e7, 0.64), (5.2e10, 0.72))},
  'summaries': {'both': ((1.3e7, 0.67), (5.2e10, 0.79))},
}
# Figures 22 and 39: the best layer of the largest model; depth and AUROC.
OOD: dict[str, Points] = {'52B, middle layer': ((0.5, 0.85),)}
# Figure 23: after ten harmful prompts.
EXPOSED: dict[str, Points] = {'52B': ((10, 0.94),), '13M': ((10, 0.86),)}
# Figure 26: the best mean accuracy, at 20 to 40 % harmless.
BEST_MEAN: dict[str, Points] = {'1B': ((0.3, 0.71),), '100M': ((0.3, 0.66),)}
# Figure 4, left: PM score above that at the start, by √KL, of the 52B policy.
GAIN: dict[str, Points] = {
  'train PM, 52B': (
    (1, 0.32),
    (2, 0.595),
    (3, 0.80),
    (4, 1.015),
    (5, 1.25),
    (5.75, 1.44),
  ),
  'test PM, 52B': (
    (1, 0.33),
    (2, 0.58),
    (3, 0.76),
    (4, 0.955),
    (5, 1.07),
    (5.75, 1.155),
  ),
}
# Figure 36: helpfulness Elo by k.
BEST_OF: dict[str, Points] = {
  '52B': ((1, 0), (4, 150), (16, 235), (64, 260)),
}
# Figure 16: Elo by share of the 200,000 samples; read by machine, low trust.
ONLINE_MIX: dict[str, Points] = {
  'even mix': (
    (0.125, 185),
    (0.25, 230),
    (0.375, 270),
    (0.5, 260),
    (0.75, 280),
    (1, 295),
  ),
  'base only': (
    (0.125, 140),
    (0.25, 210),
    (0.375, 235),
    (0.5, 260),
    (0.75, 240),
    (1, 230),
  ),
}
# Figure 34: mean log-p accuracy at the start and at the end (900,000 samples).
LOG_PROBS: dict[str, Points] = {
  'helpful': ((0, 0.55), (1, 0.64)),
  'harmless': ((0, 0.53), (1, 0.52)),
  'HHH': ((0, 0.60), (1, 0.73)),
}
# Figure 1, helpfulness: Elo by parameters; of low trust.
ELO: dict[str, Points] = {
  'distilled': ((1e9, -140), (1e10, -30), (5.2e10, 0)),
  'RLHF': ((1e9, 60), (5.2e10, 200)),
}
