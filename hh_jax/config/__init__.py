"""Configuration of every stage: frozen dataclasses, the only home of defaults.

1. A config file (`configs/<stage>.py`) builds one of these dataclasses and
   hands it out as a locked `ConfigDict`, so that flags can override fields.
2. An entry point turns it back with `from_config_dict` exactly once; every
   `ValueError` a bad field causes is raised there, before jax is imported.
"""

from hh_jax.config.agreement import require_positions
from hh_jax.config.composite import FoldsConfig, PipelineConfig
from hh_jax.config.convert import from_config_dict, parse_arg, to_config_dict
from hh_jax.config.figures import (
  BiasConfig,
  CalibrationConfig,
  FigureConfig,
  HHHConfig,
  MixtureConfig,
  OODConfig,
  ScalingConfig,
  TransferConfig,
)
from hh_jax.config.policy_figures import (
  BestOfConfig,
  EloConfig,
  OnlineConfig,
  PolicyConfig,
  RobustnessConfig,
  TensionConfig,
  WritersConfig,
)
from hh_jax.config.shared import (
  DataConfig,
  LoopConfig,
  ModelConfig,
  OptimizerConfig,
  SamplingConfig,
  lr_pretrain,
)
from hh_jax.config.stages import (
  DistillConfig,
  EvaluateConfig,
  PMConfig,
  PMPConfig,
  PretrainConfig,
  PromptsConfig,
  PublicConfig,
  RejectionConfig,
  RLHFConfig,
)

__all__ = [
  'BestOfConfig',
  'BiasConfig',
  'CalibrationConfig',
  'DataConfig',
  'DistillConfig',
  'EloConfig',
  'EvaluateConfig',
  'FigureConfig',
  'FoldsConfig',
  'HHHConfig',
  'LoopConfig',
  'MixtureConfig',
  'OODConfig',
  'OnlineConfig',
  'ModelConfig',
  'OptimizerConfig',
  'PMConfig',
  'PMPConfig',
  'PipelineConfig',
  'PolicyConfig',
  'PretrainConfig',
  'PromptsConfig',
  'PublicConfig',
  'RLHFConfig',
  'RejectionConfig',
  'RobustnessConfig',
  'SamplingConfig',
  'ScalingConfig',
  'TensionConfig',
  'TransferConfig',
  'WritersConfig',
  'from_config_dict',
  'lr_pretrain',
  'parse_arg',
  'to_config_dict',
  'require_positions',
]
