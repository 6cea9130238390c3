"""Public weights as a run, and a run as public weights."""

import json
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers

import hh_jax
from hh_jax.config import (
  DataConfig,
  ModelConfig,
  PMConfig,
  PublicConfig,
  SamplingConfig,
)
from hh_jax.models import (
  heads,
  ladder,
  public_config,
  public_folder,
  public_weights,
)
from hh_jax.stages import export, inputs, loading, pm, public, public_source
from hh_jax.training import checkpoint, workdir
from hh_jax.training import state as state_lib
from tests.data import samples
from tests.stages import public_folders, toys

GOLDEN = pathlib.Path(__file__).parents[1] / 'parity/golden/public_models'
STYLES = tuple(public_folders.OPTIONS)
TEXTS = (
  *samples.TEXTS[:3],
  'four    spaces, <|endoftext|> </s><|im_end|> <unk> <|pad|> and ümläuts',
)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """A public folder and the run it became, by style."""
  place = tmp_path_factory.mktemp('public')
  for style in STYLES:
    public_folders.make(place / style, style)
    become_run(place / style, place / f'{style}_run')
  return place


def become_run(folder, workdir, **fields):
  return public.run(PublicConfig(source=str(folder), **fields), workdir)


def logits_of(model, params, tokens):
  params = jax.tree.map(jnp.asarray, params)
  hidden = toys.hidden_of(model, params, jnp.asarray(tokens, jnp.int32))
  matrix = np.asarray(heads.unembed_matrix(params))
  return np.asarray(hidden) @ matrix[: model.config.vocab_size].T


def new_ids(workdir, size):
  """Our id of every public one."""
  moved = json.loads((workdir / 'DONE').read_text())['moved_ids']
  ids = np.arange(size)
  ids[[int(old) for old in moved]] = list(moved.values())
  return ids


@pytest.mark.slow
@pytest.mark.parametrize('family', public_config.FAMILIES)
def test_logits_are_those_of_transformers_up_to_the_ids(family, tmp_path):
  source = tmp_path / family
  shutil.copytree(GOLDEN / family, source)
  names = [f'{chr(97 + i)}' for i in range(24)]
  names[2] = '<|endoftext|>'
  vocab = {name: number for number, name in enumerate(names)}
  bpe = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, []))
  bpe.add_special_tokens(['<|endoftext|>'])
  bpe.save(str(source / 'tokenizer.json'))
  line = become_run(source, tmp_path / 'run')
  assert 'end of text is <|endoftext|> (was id 2' in line
  run = hh_jax.load(tmp_path / 'run')
  assert run.model.config.vocab_size == 26  # padding and end of context
  said = np.load(source / 'said.npz')
  ids = new_ids(tmp_path / 'run', 26)
  assert ids[2] == 1 and set(ids[24:]) == {0, 2}
  logits = logits_of(run.model, run.params, ids[said['tokens']])
  np.testing.assert_allclose(
    logits[..., ids[:24]], said['logits'], atol=1e-5, rtol=0
  )


@pytest.mark.parametrize('style', STYLES)
def test_text_has_its_public_ids_permuted(folders, style):
  bpe = public_folders.tokenizer(style)
  bpe.encode_special_tokens = True
  run = hh_jax.load(folders / f'{style}_run')
  ids = new_ids(folders / f'{style}_run', run.model.config.vocab_size)
  assert len(set(ids)) == len(ids)
  assert (ids != np.arange(len(ids))).sum() <= 6
  for text in TEXTS:
    public_ids = bpe.encode(text, add_special_tokens=False).ids
    np.testing.assert_array_equal(run.tokenizer.encode(text), ids[public_ids])
    assert run.tokenizer.decode(run.tokenizer.encode(text)) == text
  assert ids[bpe.token_to_id(public_folders.END[style])] == 1
  vocab = run.tokenizer.bpe.get_vocab(with_added_tokens=True)
  for name, number in bpe.get_vocab(with_added_tokens=True).items():
    assert vocab[name] == ids[number]


def parts(params, rows):
  """Leaves by path, of the vocabulary only some rows."""
  leaves = state_lib.leaves_by_path(params)
  return {
    path: leaf[rows] if path.startswith(('embed', 'unembed')) else leaf
    for path, leaf in leaves.items()
  }


@pytest.mark.parametrize('style', STYLES)
def test_rows_move_with_their_tokens_and_nothing_else(folders, style):
  config, params = public_weights.read(folders / style)
  workdir = folders / f'{style}_run'
  run = hh_jax.load(workdir)
  ids = new_ids(workdir, run.model.config.vocab_size)
  new = list(json.loads((workdir / 'DONE').read_text())['new_tokens'].values())
  kept = [old for old in range(config.vocab_size) if ids[old] not in new]
  before, after = parts(params, kept), parts(run.params, ids[kept])
  assert before.keys() == after.keys()
  for path, leaf in before.items():
    np.testing.assert_array_equal(leaf, after[path], err_msg=path)
  padded = np.asarray(run.params['embed']['embedding'])
  assert len(padded) == 384
  assert not padded[run.model.config.vocab_size :].any()


@pytest.mark.slow
@pytest.mark.parametrize('style', ['llama', 'qwen2'])
def test_new_tokens_are_unlikely(folders, style):
  run = hh_jax.load(folders / f'{style}_run')
  tokens = np.random.default_rng(0).integers(3, 256, (4, 16))
  probs = jax.nn.softmax(logits_of(run.model, run.params, tokens))
  num_tokens = run.tokenizer.vocab_size - 2
  assert probs[..., [0, 2]].max() <= 1 / num_tokens
  assert probs.max() > 5 / num_tokens


def test_which_tokens_have_a_row_of_their_own(folders):
  said = {
    style: json.loads((folders / f'{style}_run/DONE').read_text())
    for style in STYLES
  }
  assert list(said['gpt_neox']['new_tokens']) == ['<|endofcontext|>']
  assert list(said['llama']['new_tokens']) == ['<|pad|>', '<|endofcontext|>']
  # Spare rows are used before new ones are made.
  rows = {
    style: (
      hh_jax.load(folders / f'{style}_run').model.config.vocab_size
      - public_folder.open_folder(folders / style).config.vocab_size
    )
    for style in STYLES
  }
  assert rows == {'gpt_neox': 0, 'llama': 2, 'qwen2': 0}


def test_it_ends_as_a_finished_run(folders, tmp_path):
  workdir = folders / 'qwen2_run'
  run = hh_jax.load(workdir)
  done = json.loads((workdir / 'DONE').read_text())
  manifest = checkpoint.read_manifest(workdir)
  assert (done['steps'], run.stage, run.context) == (0, 'public', 256)
  assert done['state_sha256'] == manifest.state_sha256 == run.state_sha256
  assert done['num_params'] == sum(x.size for x in jax.tree.leaves(run.params))
  before = (workdir / 'DONE').stat().st_mtime_ns
  moved = tmp_path / 'moved'
  shutil.copytree(folders / 'qwen2', moved)
  assert become_run(moved, workdir) == done['line']
  assert (workdir / 'DONE').stat().st_mtime_ns == before
  with pytest.raises(ValueError, match='holds another run: .*source='):
    become_run(folders / 'llama', workdir)


@pytest.mark.slow
def test_it_samples(folders):
  run = hh_jax.load(folders / 'gpt_neox_run')
  sampling = SamplingConfig(max_new_tokens=4, slots=2)
  replies = run.sample(['What is the time?', 'Why?'], sampling)
  assert len(replies) == 2 and replies != ['', '']


@pytest.mark.slow
def test_a_preference_model_is_trained_from_it(folders, tmp_path):
  rows = [
    samples.row(f'{i}?', f'Yes, {i}.', 'No.' + '!' * (i % 3)) for i in range(24)
  ]
  samples.write(tmp_path / 'mine.jsonl', rows)
  config = PMConfig(
    init_from=str(folders / 'gpt_neox_run'),
    data=DataConfig(
      world='hh',
      data_dir=str(tmp_path / 'mine.jsonl'),
      batch_size=8,
      row_length=128,
      max_path=64,
      test_fraction=0.3,
    ),
  )
  line = pm.run(config, tmp_path / 'pm')
  done = json.loads((tmp_path / 'pm/DONE').read_text())
  assert done['steps'] >= 2 and line.startswith('pm: ')
  scores = hh_jax.load(tmp_path / 'pm').score('1?', ['Yes, 1.', 'No.'])
  assert np.isfinite(scores).all()
  line = export.export(tmp_path / 'pm', tmp_path / 'out')
  assert 'gpt_neox reward model of the pm run' in line
  found = public_folder.open_folder(tmp_path / 'out')
  assert found.public['architectures'] == ['GPTNeoXForSequenceClassification']
  assert 'embed_out.weight' not in found.shapes


@pytest.mark.slow
def test_a_reward_model_scores_as_it_did(tmp_path):
  folder = public_folders.make(tmp_path / 'rm', 'llama', score=True)
  assert 'llama reward model' in become_run(folder, tmp_path / 'run')
  run = hh_jax.load(tmp_path / 'run')
  assert run.stage == 'public_pm' and run.has_scores
  config, params = public_weights.read(folder)
  bpe = public_folders.tokenizer('llama')
  text = '\n\nHuman: Why?\n\nAssistant: Put it in water.'
  ids = bpe.encode(text, add_special_tokens=False).ids
  hidden = toys.hidden_of(
    ladder.build(config),
    jax.tree.map(jnp.asarray, params),
    jnp.asarray([[*ids, bpe.token_to_id('</s>')]], jnp.int32),
  )
  (expected,) = hidden[0, -1] @ params['score_head']['kernel']
  own = run.tokenizer.encode('\n\nHuman: Why?\n\nAssistant:').tolist()
  assert own + run.tokenizer.encode_reply('Put it in water.').tolist() == [
    *new_ids(tmp_path / 'run', run.model.config.vocab_size)[ids]
  ]
  found = run.score('Why?', ['Put it in water.'])
  np.testing.assert_allclose(found, [expected], atol=1e-5)


def test_each_kind_is_accepted_where_it_fits(folders, tmp_path):
  folder = public_folders.make(tmp_path / 'rm', 'qwen2', score=True)
  become_run(folder, tmp_path / 'rm_run')
  language, scored = folders / 'qwen2_run', tmp_path / 'rm_run'
  runs = {'language': str(language), 'scored': str(scored)}
  stages = inputs.named_runs
  for name in ('PMConfig', 'FoldsConfig'):
    for path in runs.values():
      (found,) = stages(vars(hh_jax.config)[name](init_from=path))
      assert str(found.workdir) == path
  for name in ('DistillConfig', 'PMPConfig'):
    config_type = vars(hh_jax.config)[name]
    assert list(stages(config_type(init_from=runs['language'])))
    with pytest.raises(ValueError, match='holds a public_pm run; it must be'):
      list(stages(config_type(init_from=runs['scored'])))
  for name in ('RLHFConfig', 'RejectionConfig'):
    config_type = vars(hh_jax.config)[name]
    fits = {'policy_from': runs['language'], 'pm_from': runs['scored']}
    assert len(list(stages(config_type(**fits)))) == 2
    for field in fits:
      wrong = {
        **fits,
        field: next(x for x in runs.values() if x != fits[field]),
      }
      with pytest.raises(ValueError, match='run; it must be of'):
        list(stages(config_type(**wrong)))


@pytest.mark.parametrize('style', STYLES)
def test_a_run_becomes_a_public_folder_and_comes_back(folders, style, tmp_path):
  workdir = folders / f'{style}_run'
  line = export.export(workdir, tmp_path / 'out')
  assert f'{style} language model of the public run' in line
  run = hh_jax.load(workdir)
  config, params = public_weights.read(tmp_path / 'out')
  assert config.vocab_size == run.model.config.vocab_size
  written = parts(params, slice(None))
  for path, leaf in parts(run.params, slice(config.vocab_size)).items():
    np.testing.assert_array_equal(written[path], leaf, err_msg=path)
  source = public_source.open_source(PublicConfig(str(tmp_path / 'out')))
  assert not source.vocabulary.moved and not source.vocabulary.fresh
  assert (source.end_id, source.said_by) == (1, 'config.json')
  assert source.vocabulary.tokenizer.sha256 == run.tokenizer.sha256
  with pytest.raises(FileExistsError, match='is not empty'):
    export.export(workdir, tmp_path / 'out')


def test_a_network_of_the_ladder_becomes_gpt_neox(tmp_path):
  """Its MLP biases are zeros, and the bias of its scores goes."""
  head = {**toys.pm_params()['score_head'], 'bias': jnp.full((1,), 0.25)}
  folder = tmp_path / 'pm'
  workdir.prepare(folder, {}, {'stage': 'pm'})
  params = {**toys.pm_params(), 'score_head': head}
  manifest = checkpoint.save_params(folder, params)
  loading.describe_model(folder, 'pm', toys.MODEL, toys.TOKENIZER)
  ended = {'steps': 0, 'state_sha256': manifest.state_sha256}
  workdir.write_done(folder, {'line': 'pm', **ended})
  flags = [f'--run={folder}', f'--out={tmp_path / "out"}']
  assert export.main(flags) == 0
  config, written = public_weights.read(tmp_path / 'out')
  assert config.mlp_bias and not written['score_head']['bias'].any()
  assert not written['blocks']['up']['bias'].any()
  own = state_lib.leaves_by_path(toys.pm_params())
  read = state_lib.leaves_by_path(written)
  assert read.keys() - own.keys() == {'blocks/up/bias', 'blocks/down/bias'}
  for path, leaf in own.items():
    np.testing.assert_array_equal(read[path], leaf, err_msg=path)


def test_what_cannot_be_exported_is_said(tmp_path, capsys):
  flags = [f'--run={tmp_path}', f'--out={tmp_path / "out"}']
  assert export.main(flags) == 2
  said = capsys.readouterr().err
  assert said == f'error: --run={tmp_path} holds no run (no config.json)\n'
  learned = ModelConfig(positions='learned')
  with pytest.raises(ValueError, match="has a block with .*='learned'"):
    public_config.family_of(learned)
