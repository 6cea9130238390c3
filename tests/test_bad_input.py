"""What is wrong in data or runs: one line, exit code 2, nothing lost."""

import dataclasses
import functools
import gzip
import json
import subprocess
import sys

import pytest

from hh_jax.config import DataConfig
from hh_jax.data.tokenizer import Tokenizer
from hh_jax.stages import loading
from hh_jax.training import checkpoint, workdir
from tests import scripts
from tests.data import samples
from tests.scripts import SMOKE
from tests.stages import toys

# CPU seconds of a process, against machines that are busy or slow.
refusal = functools.partial(scripts.refusal, limit=1.5)
MAX_SECONDS_WITH_JAX = 6  # most of them to import it; nothing compiles
DATA = DataConfig(test_fraction=0.1)  # as the nano presets split


def contents(folder):
  return {
    path: path.read_bytes() for path in folder.rglob('*') if path.is_file()
  }


def make_run(folder, stage, params, tokenizer=toys.TOKENIZER, data=DATA):
  """A folder as a finished stage leaves it."""
  config = {'data': dataclasses.asdict(data)}
  workdir.prepare(folder, config, {'stage': stage})
  manifest = checkpoint.save_params(folder, params)
  loading.describe_model(folder, stage, toys.MODEL, tokenizer)
  ended = {'steps': manifest.step, 'state_sha256': manifest.state_sha256}
  workdir.write_done(folder, {'line': stage, **ended})
  return folder


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """Tiny runs of three stages, and a policy of another tokenizer."""
  folder = tmp_path_factory.mktemp('runs')
  other = Tokenizer.train(['eggs and water and other words'] * 4, 300)
  make_run(folder / 'pretrain', 'pretrain', toys.params())
  make_run(folder / 'distill', 'distill', toys.params())
  make_run(folder / 'pm', 'pm', toys.pm_params())
  make_run(folder / 'stranger', 'distill', toys.params(), other)
  make_run(folder / 'strange_rlhf', 'rlhf', toys.params(), other)
  more = dataclasses.replace(DATA, test_fraction=0.2)
  make_run(folder / 'pm_of_other_split', 'pm', toys.pm_params(), data=more)
  return folder


def refused_comparisons(runs, path, folder):
  return refusal(
    'pm',
    f'--config.init_from={runs / "pretrain"}',
    f'--config.data.data_dir={path}',
    f'--workdir={folder / "w"}',
    config=f'world=hh,{SMOKE}',
  )


def test_a_truncated_file(runs, tmp_path):
  rows = [samples.row(f'{i}?', f'Yes, {i}.', 'No.') for i in range(300)]
  path = samples.write(tmp_path / 'helpful-base' / 'train.jsonl.gz', rows)
  path.write_bytes(path.read_bytes()[:-40])
  line = refused_comparisons(runs, tmp_path, tmp_path)
  assert f'{path} is truncated or damaged after row' in line


def test_a_malformed_row(runs, tmp_path):
  text = json.dumps(samples.row('Why?', 'Yes.', 'No.'))
  path = tmp_path / 'mine.jsonl.gz'
  path.write_bytes(gzip.compress(f'{text}\n{text[:-9]}\n'.encode()))
  line = refused_comparisons(runs, path, tmp_path)
  assert f'{path} row 2: not JSON' in line


def test_a_row_without_its_fields(runs, tmp_path):
  rows = [samples.row('Why?', 'Yes.', 'No.'), {'chosen': 'x', 'label': 1}]
  path = samples.write(tmp_path / 'mine.jsonl', rows)
  line = refused_comparisons(runs, path, tmp_path)
  assert f'{path} row 2: field ' in line
  assert "['chosen', 'label']" in line


def test_no_comparison_is_left(runs, tmp_path):
  rows = [{'chosen': 'nobody speaks', 'rejected': 'here'}] * 3
  path = samples.write(tmp_path / 'mine.jsonl', rows)
  line = refused_comparisons(runs, path, tmp_path)
  assert 'no comparison kept of 3 rows' in line
  assert "'no_final_assistant': 3" in line


def test_an_empty_folder(runs, tmp_path):
  (tmp_path / 'data').mkdir()
  line = refused_comparisons(runs, tmp_path / 'data', tmp_path)
  assert f'{tmp_path / "data"} has no comparison files' in line


def test_a_run_of_the_wrong_stage(runs, tmp_path):
  line = refusal(
    'pmp',
    f'--config.init_from={runs / "pm"}',
    f'--workdir={tmp_path / "w"}',
  )
  assert f'init_from={runs / "pm"} holds a pm run; it must be of' in line
  assert not (tmp_path / 'w').exists()


def test_two_tokenizers_do_not_meet(runs, tmp_path):
  line = refusal(
    'rlhf',
    f'--config.policy_from={runs / "stranger"}',
    f'--config.pm_from={runs / "pm"}',
    f'--workdir={tmp_path / "w"}',
  )
  assert 'were trained with different tokenizers' in line
  assert str(runs / 'stranger') in line and str(runs / 'pm') in line
  assert not (tmp_path / 'w').exists()
  line = refusal(
    'evaluate',
    f'--config.reference_from={runs / "distill"}',
    f'--config.pm_from={runs / "pm"}',
    f'--config.rlhf_from={runs / "strange_rlhf"}',
    f'--workdir={tmp_path / "w"}',
  )
  assert 'were trained with different tokenizers' in line
  assert str(runs / 'strange_rlhf') in line
  assert not (tmp_path / 'w').exists()


@pytest.mark.parametrize('script', ['rejection', 'rlhf', 'evaluate'])
def test_comparisons_that_were_trained_on_are_not_held_out(
  runs, tmp_path, script
):
  policy = 'reference_from' if script == 'evaluate' else 'policy_from'
  make_run(tmp_path / 'rlhf', 'rlhf', toys.params())
  more = [f'--config.rlhf_from={tmp_path / "rlhf"}'] * (script == 'evaluate')
  line = refusal(
    script,
    f'--config.{policy}={runs / "distill"}',
    f'--config.pm_from={runs / "pm_of_other_split"}',
    *more,
    f'--workdir={tmp_path / "w"}',
  )
  assert f'{runs / "pm_of_other_split"} was trained with' in line
  assert 'test_fraction=0.2' in line and 'test_fraction=0.1' in line
  assert not (tmp_path / 'w').exists()


@pytest.mark.slow
def test_a_tokenizer_with_more_tokens_than_the_model(tmp_path):
  toys.TOKENIZER.save(tmp_path / 'tokenizer.json')
  size = toys.TOKENIZER.vocab_size
  line = refusal(
    'pretrain',
    f'--config.tokenizer={tmp_path / "tokenizer.json"}',
    '--config.model.vocab_size=100',
    f'--workdir={tmp_path / "w"}',
    limit=MAX_SECONDS_WITH_JAX,
  )
  assert f'the tokenizer has {size} tokens and model.vocab_size=100' in line


def test_an_unfinished_run(runs, tmp_path):
  folder = make_run(tmp_path / 'half', 'distill', toys.params())
  (folder / 'DONE').unlink()
  line = refusal(
    'rejection',
    f'--config.policy_from={folder}',
    f'--config.pm_from={runs / "pm"}',
    f'--workdir={tmp_path / "w"}',
  )
  assert f'{folder} is not finished' in line


@pytest.mark.slow
def test_a_workdir_that_holds_another_run(runs):
  before = contents(runs / 'pm')
  line = refusal(
    'pretrain', f'--workdir={runs / "pm"}', limit=MAX_SECONDS_WITH_JAX
  )
  assert f'workdir {runs / "pm"} holds another run' in line
  assert 'give another --workdir' in line
  assert contents(runs / 'pm') == before


def test_prepare_refuses_a_damaged_file(tmp_path):
  path = tmp_path / 'mine.jsonl.gz'
  path.write_bytes(gzip.compress(b'{"chosen": ')[:-4])
  done = subprocess.run(
    [
      sys.executable,
      '-m',
      'hh_jax.data.prepare',
      f'--source={path}',
      f'--out={tmp_path / "out"}',
    ],
    cwd=scripts.ROOT,
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert done.returncode == 2
  assert done.stderr.count('\n') == 1 and str(path) in done.stderr
  assert not (tmp_path / 'out').exists()
