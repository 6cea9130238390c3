"""What the command line answers before jax is loaded."""

import pytest

from tests.scripts import SMOKE, refusal, run

MAX_SECONDS = 1.5  # of the CPU, against machines that are busy or slow


@pytest.mark.parametrize('script', ['pretrain', 'pipeline'])
def test_help_comes_within_a_second(script):
  done, seconds = run(script, '--help')
  assert done.returncode == 0, done.stderr
  assert '--config.seed=0' in done.stdout
  assert seconds < 1


@pytest.mark.parametrize(
  ('script', 'args', 'said'),
  [
    (
      'pretrain',
      ['--config.data.bach_size=2'],
      ['--config.data.bach_size is unknown', 'did you mean', 'batch_size'],
    ),
    (
      'pipeline',
      ['--config.rlhf.kl_coeff=0.1'],
      ['--config.rlhf.kl_coeff is unknown', '--config.rlhf.kl_coef'],
    ),
    (
      'pretrain',
      ['--config.model.num_heads=3'],
      ['num_heads=3 does not divide', 'model_dim=64'],
    ),
    (
      'pretrain',
      ['--config.loop.mesh_data=3'],
      ['batch_size=2 is not divisible by', 'mesh_data', '3 * 1'],
    ),
    (
      'rlhf',
      ['--config.minibatches=3'],
      ['minibatches=3 does not divide batch_size=8'],
    ),
    ('pm', ['--config.init_from=nowhere'], ['init_from=nowhere holds no run']),
    ('pm', ['--config.seed=x'], ['seed', 'x']),
    ('pretrain', ['--process_id=0'], ['--coordinator is missing']),
  ],
)
def test_a_wrong_config_is_one_line(tmp_path, script, args, said):
  line = refusal(
    script,
    *args,
    f'--workdir={tmp_path / "w"}',
    limit=MAX_SECONDS,
  )
  for part in said:
    assert part in line
  assert not (tmp_path / 'w').exists()


def test_an_unknown_size_is_answered_with_the_nearest(tmp_path):
  line = refusal(
    'pretrain',
    f'--workdir={tmp_path / "w"}',
    config='world=lab,size=12m',
    limit=MAX_SECONDS,
  )
  assert "unknown model size '12m'; nearest is '13m'" in line
  assert not (tmp_path / 'w').exists()


@pytest.mark.parametrize('script', ['pretrain', 'pipeline'])
def test_missing_data_is_named(tmp_path, script):
  field = 'data_dir' if script == 'pipeline' else 'data.data_dir'
  missing = tmp_path / 'nowhere'
  line = refusal(
    script,
    f'--config.{field}={missing}',
    f'--workdir={tmp_path / "w"}',
    config=f'world=hh,{SMOKE}',
    limit=MAX_SECONDS,
  )
  assert f'--config.{field}={missing} does not exist' in line
  line = refusal(
    script,
    f'--workdir={tmp_path / "w"}',
    config=f'world=hh,{SMOKE}',
    limit=MAX_SECONDS,
  )
  assert f'world=hh needs --config.{field}=PATH' in line
  assert not (tmp_path / 'w').exists()
