"""Configs: round trips, refusals that name what is wrong, and rates."""

import dataclasses

import pytest

from hh_jax import config as config_lib
from hh_jax.models import sizes

STAGES = (
  config_lib.PretrainConfig,
  config_lib.DistillConfig,
  config_lib.PMPConfig,
  config_lib.PMConfig,
  config_lib.PromptsConfig,
  config_lib.RejectionConfig,
  config_lib.RLHFConfig,
  config_lib.EvaluateConfig,
  config_lib.FoldsConfig,
  config_lib.PipelineConfig,
  config_lib.ScalingConfig,
  config_lib.MixtureConfig,
  config_lib.CalibrationConfig,
  config_lib.TransferConfig,
  config_lib.HHHConfig,
  config_lib.OODConfig,
  config_lib.EloConfig,
  config_lib.WritersConfig,
)


@pytest.mark.parametrize('cls', STAGES)
def test_round_trip_through_a_config_dict(cls):
  values = config_lib.to_config_dict(cls()).to_dict()
  assert config_lib.from_config_dict(cls, values) == cls()


def test_config_dicts_are_locked():
  values = config_lib.to_config_dict(config_lib.PMConfig())
  with pytest.raises((AttributeError, KeyError)):
    values.harmles_weight = 2.0


def test_unknown_key_names_the_nearest():
  with pytest.raises(ValueError, match=r"config\.optimizr .*'optimizer'"):
    config_lib.from_config_dict(config_lib.PMConfig, {'optimizr': {}})
  with pytest.raises(ValueError, match=r"data\.batch_sise .*'batch_size'"):
    config_lib.from_config_dict(
      config_lib.PMConfig, {'data': {'batch_sise': 3}}
    )


@pytest.mark.parametrize(
  ('cls', 'values', 'message'),
  [
    (config_lib.ModelConfig, {'num_heads': 3}, 'num_heads=3 does not divide'),
    (config_lib.ModelConfig, {'num_kv_heads': 3}, 'num_kv_heads=3'),
    (config_lib.ModelConfig, {'norm': 'batch'}, "norm='batch'"),
    (config_lib.DataConfig, {'batch_size': 0}, 'batch_size=0'),
    (config_lib.DataConfig, {'span_start': 0.8, 'span_end': 0.2}, 'no span'),
    (config_lib.DataConfig, {'max_path': 10_000}, 'max_path=10000'),
    (config_lib.SamplingConfig, {'temperature': 0.0}, 'temperature=0.0'),
    (config_lib.RLHFConfig, {'minibatches': 5}, 'minibatches=5'),
    (config_lib.RLHFConfig, {'value_init': 'zero'}, "value_init='zero'"),
    (config_lib.RLHFConfig, {'lr_halving': 9}, 'lr_halving=9 is less than'),
    (config_lib.RLHFConfig, {'sampling': {'top_p': 0.9}}, 'top_p=0.9: PPO'),
    (config_lib.PMConfig, {'loop': {'mesh_data': 3}}, 'not divisible by mesh'),
    (config_lib.PMConfig, {'loop': {'keep_steps': (0,)}}, 'must be positive'),
    (config_lib.PMConfig, {'harmless_fraction': 1.5}, 'harmless_fraction=1.5'),
    (config_lib.EvaluateConfig, {'loop': {'mesh_fsdp': 2}}, 'on one device'),
    (config_lib.RejectionConfig, {'loop': {'mesh_tensor': 2}}, r'\(1, 1, 2\)'),
    (
      config_lib.PretrainConfig,
      {
        'model': {'positions': 'learned', 'max_positions': 64},
        'data': {'row_length': 128},
      },
      'paths of 128 tokens.*max_positions=64',
    ),
    (
      config_lib.RLHFConfig,
      {'data': {'max_path': 64}},
      'data.max_path=64 is not used',
    ),
    (config_lib.PipelineConfig, {'world': 'moon'}, "world='moon'"),
    (config_lib.PMConfig, {'seed': -1}, 'seed=-1 is < 0'),
    (config_lib.PMConfig, {'seed': 2**32}, r'seed=4294967296 is not below'),
    (config_lib.PMConfig, {'num_comparisons': -1}, 'num_comparisons=-1 is < 0'),
    (config_lib.DataConfig, {'num_examples': -5}, 'num_examples=-5 is < 0'),
    (config_lib.SamplingConfig, {'max_prompt': -5}, 'max_prompt=-5 is < 0'),
    (config_lib.ModelConfig, {'ffn_dim': -4}, 'ffn_dim=-4 is < 0'),
    (config_lib.ModelConfig, {'head_dim': -8}, 'head_dim=-8 is < 0'),
    (config_lib.ModelConfig, {'model_dim': 66, 'num_heads': 2}, 'of 33 is 33'),
    (config_lib.ModelConfig, {'rotary_fraction': 0.3}, 'of 32 is 9 dimensions'),
    (config_lib.OptimizerConfig, {'beta2': 1.0}, r'beta2=1.0 is outside'),
    (config_lib.OptimizerConfig, {'weight_decay': -0.1}, 'weight_decay=-0.1'),
    (config_lib.RLHFConfig, {'gae_lambda': 7.0}, 'gae_lambda=7.0 is outside'),
    (config_lib.RLHFConfig, {'discount': -1.0}, 'discount=-1.0 is outside'),
    (config_lib.RLHFConfig, {'value_clip': -1.0}, 'value_clip=-1.0 is < 0'),
    (config_lib.PipelineConfig, {'seed': -1}, 'seed=-1 is < 0'),
    (
      config_lib.RLHFConfig,
      {'sampling': {'max_new_tokens': 255}},
      'max_new_tokens=255 leaves no room .* data.row_length=256',
    ),
    *(
      (cls, {'data': {name: value}}, message)
      for cls in (
        config_lib.RejectionConfig,
        config_lib.RLHFConfig,
        config_lib.EvaluateConfig,
      )
      for name, value, message in (
        ('test_fraction', 0.0, 'test_fraction=0 holds no .* data.data_dir out'),
        ('split_offset', 0.2, 'split_offset=0.2 does not turn .* world=lab'),
      )
    ),
  ],
)
def test_bad_values_are_named(cls, values, message):
  with pytest.raises(ValueError, match=message):
    config_lib.from_config_dict(cls, values)


@pytest.mark.parametrize(
  ('cls', 'values', 'message'),
  [
    (
      config_lib.PipelineConfig,
      {'rlhf': {'seed': 3}},
      r'--config\.rlhf\.seed=3 is not used; set --config\.seed$',
    ),
    (
      config_lib.PipelineConfig,
      {'pretrain': {'data': {'data_dir': 'there'}}},
      r'pretrain\.data\.data_dir=.there. is not used; set --config\.data_dir$',
    ),
    (
      config_lib.PipelineConfig,
      {'pretrain': {'data': {'world': 'hh'}}},
      r"pretrain\.data\.world='hh' is not world='lab'.*FILE\.py:world=NAME",
    ),
    (
      config_lib.PipelineConfig,
      {'pm': {'init_from': 'runs/pmp'}},
      r'--config\.pm\.init_from=runs/pmp is not used.*run the stage alone',
    ),
    (
      config_lib.PipelineConfig,
      {'rlhf': {'policy_from': 'runs/pi0'}},
      r'--config\.rlhf\.policy_from=runs/pi0 is not used',
    ),
    (
      config_lib.PipelineConfig,
      {'pm_one_side': {'harmless_fraction': 0.3}},
      r'pm_one_side\.harmless_fraction=0\.3 is not used',
    ),
    (
      config_lib.PipelineConfig,
      {'rlhf': {'data': {'test_fraction': 0.3}}},
      r'rlhf\.data\.test_fraction=0\.3 and pm\.data\.test_fraction=0\.05',
    ),
    (
      config_lib.FoldsConfig,
      {'pm': {'seed': 3}},
      r'--config\.pm\.seed=3 is not used; set --config\.seed$',
    ),
    (
      config_lib.FoldsConfig,
      {'pm': {'data': {'batch_size': 8}}},
      r'--config\.pm\.data=.* is not used; set --config\.data$',
    ),
    (
      config_lib.FoldsConfig,
      {'pm': {'loop': {'log_every': 3}}},
      r'--config\.pm\.loop=.* is not used; set --config\.loop$',
    ),
    (
      config_lib.FoldsConfig,
      {'pm': {'init_from': 'x'}},
      r"--config\.pm\.init_from='x' is not used; set --config\.init_from$",
    ),
    (
      config_lib.FoldsConfig,
      {'pm': {'harmless_fraction': 0.5}},
      r'pm\.harmless_fraction=0\.5 is not used',
    ),
    (
      config_lib.FoldsConfig,
      {'data': {'split_offset': 0.5}},
      r'--config\.data\.split_offset=0\.5 is not used; .* --config\.num_folds',
    ),
    (
      config_lib.FoldsConfig,
      {'data': {'test_fraction': 0.1}},
      r'--config\.data\.test_fraction=0\.1 is not used; .* --config\.num_folds',
    ),
  ],
)
def test_what_would_be_replaced_is_refused(cls, values, message):
  with pytest.raises(ValueError, match=message):
    config_lib.from_config_dict(cls, values)


def test_repeating_what_replaces_a_field_is_no_error():
  everywhere = {'seed': 3, 'data': {'data_dir': 'there'}}
  config = config_lib.from_config_dict(
    config_lib.PipelineConfig,
    {
      'seed': 3,
      'data_dir': 'there',
      'rlhf': everywhere,
      'distill': {'teacher_from': 'runs/larger'},
    },
  )
  assert config.rlhf.seed == 3
  folds = config_lib.from_config_dict(
    config_lib.FoldsConfig, {**everywhere, 'pm': everywhere}
  )
  assert folds.pm.data == folds.data


def test_a_value_of_another_type_is_refused():
  with pytest.raises(ValueError, match=r"seed='a' is not of type int"):
    config_lib.from_config_dict(config_lib.PMConfig, {'seed': 'a'})
  with pytest.raises(ValueError, match='seed=True'):
    config_lib.from_config_dict(config_lib.PMConfig, {'seed': True})


def test_an_integer_may_stand_for_a_float():
  made = config_lib.from_config_dict(config_lib.PMConfig, {'lm_coef': 1})
  assert made.lm_coef == 1.0
  assert isinstance(made.lm_coef, float)


def test_arguments_of_config_files():
  defaults = {'size': 'nano', 'k': 16, 'harmless': -1.0, 'smoke': False}
  assert config_lib.parse_arg('', **defaults) == defaults
  assert config_lib.parse_arg('k=4,smoke=true', **defaults) == {
    **defaults,
    'k': 4,
    'smoke': True,
  }
  for arg, message in (
    ('sise=13m', "'sise' is unknown; did you mean 'size'"),
    ('k=many', "k='many' is not of type int"),
    ('smoke', 'not of the form name=value'),
    ('smoke=perhaps', 'neither true nor false'),
  ):
    with pytest.raises(ValueError, match=message):
      config_lib.parse_arg(arg, **defaults)


def test_rates_fall_with_size_and_stay_positive():
  rates = [
    config_lib.lr_pretrain(sizes.model_config(size))
    for size in (
      'nano0',
      'nano',
      '13m',
      '42m',
      '197m',
      '810m',
      '2.7b',
      '13b',
      '52b',
    )
  ]
  assert all(rate > 0 for rate in rates)
  assert rates == sorted(rates, reverse=True)
  # Kaplan et al. 2020 at 12.6 million parameters, by hand.
  assert rates[2] == pytest.approx(0.003239 - 0.0001395 * 16.3476, abs=1e-7)


def test_paper_multiples_are_the_defaults():
  multiples = {
    config_lib.DistillConfig: 0.05,
    config_lib.PMPConfig: 0.1,
    config_lib.PMConfig: 0.01,
    config_lib.RLHFConfig: 0.01,
  }
  for cls, multiple in multiples.items():
    assert cls().optimizer.lr_multiple == multiple
  rlhf = config_lib.RLHFConfig()
  assert (rlhf.kl_coef, rlhf.clip_range, rlhf.discount) == (0.001, 0.2, 1.0)
  assert config_lib.DistillConfig().top_k == 50
  assert config_lib.RejectionConfig().k == 16


def test_an_override_replaces_the_multiple():
  optimizer = config_lib.OptimizerConfig(lr_multiple=0.1)
  model = config_lib.ModelConfig()
  assert optimizer.peak_lr(model) == 0.1 * config_lib.lr_pretrain(model)
  fixed = dataclasses.replace(optimizer, lr_override=3e-4)
  assert fixed.peak_lr(model) == 3e-4


@pytest.mark.parametrize(
  'value, said',
  [
    ((0, 'one'), r"seeds\[1\]='one' is not of type int"),
    (3, 'seeds=3 is not a list'),
    ((), 'seeds is empty'),
    ((1, 1), 'seeds holds .* more than once'),
    ((-1,), 'seed=-1 is < 0'),
  ],
)
def test_lists_are_checked_item_by_item(value, said):
  with pytest.raises(ValueError, match=said):
    config_lib.from_config_dict(config_lib.FigureConfig, {'seeds': value})
