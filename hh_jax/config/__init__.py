"""Configuration of every stage: frozen dataclasses, the only home of defaults.

1. A config file (`configs/<stage>.py`) builds one of these dataclasses and
   hands it out as a locked `ConfigDict`, so that flags can override fields.
2. An entry point turns it back with `from_config_dict` exactly once; every
   `ValueError` a bad field causes is raised there, before jax is imported.
"""

from hh_jax.config.convert import from_config_dict
from hh_jax.config.convert import parse_arg
from hh_jax.config.convert import to_config_dict
from hh_jax.config.shared import DataConfig
from hh_jax.config.shared import LoopConfig
from hh_jax.config.shared import lr_pretrain
from hh_jax.config.shared import ModelConfig
from hh_jax.config.shared import OptimizerConfig
from hh_jax.config.shared import SamplingConfig
from hh_jax.config.stages import DistillConfig
from hh_jax.config.stages import EvaluateConfig
from hh_jax.config.stages import PipelineConfig
from hh_jax.config.stages import PMConfig
from hh_jax.config.stages import PMPConfig
from hh_jax.config.stages import PretrainConfig
from hh_jax.config.stages import RejectionConfig
from hh_jax.config.stages import RLHFConfig

__all__ = [
  'DataConfig',
  'DistillConfig',
  'EvaluateConfig',
  'LoopConfig',
  'ModelConfig',
  'OptimizerConfig',
  'PMConfig',
  'PMPConfig',
  'PipelineConfig',
  'PretrainConfig',
  'RLHFConfig',
  'RejectionConfig',
  'SamplingConfig',
  'from_config_dict',
  'lr_pretrain',
  'parse_arg',
  'to_config_dict',
]
