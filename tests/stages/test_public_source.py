"""What is wrong with a public folder is said before a weight is loaded."""

import json

import numpy as np
import pytest
import tokenizers
from safetensors import numpy as safetensors

from hh_jax.config import PublicConfig
from hh_jax.models import public_layout
from hh_jax.stages import public_source
from tests import scripts
from tests.stages import public_folders


@pytest.fixture
def source(tmp_path):
  return public_folders.make(tmp_path / 'model', 'llama')


def opened(folder, **fields):
  return public_source.open_source(PublicConfig(str(folder), **fields))


def refused(folder, message, **fields):
  with pytest.raises((ValueError, FileNotFoundError), match=message):
    opened(folder, **fields)


def reshard(folder, count=2):
  """Splits the weights into files that an index lists."""
  whole = folder / 'model.safetensors'
  tensors = safetensors.load_file(whole)
  whole.unlink()
  placed = {}
  for number in range(count):
    name = f'model-{number + 1:05}-of-{count:05}.safetensors'
    part = {key: tensors[key] for key in sorted(tensors)[number::count]}
    safetensors.save_file(part, folder / name)
    placed |= dict.fromkeys(part, name)
  index = folder / 'model.safetensors.index.json'
  index.write_text(json.dumps({'weight_map': placed}))
  return index


def test_shards_are_those_of_the_index(source):
  whole = opened(source).folder
  reshard(source)
  (source / 'other.safetensors').write_bytes(b'not listed, not read')
  found = opened(source).folder
  assert found.shapes == whole.shapes
  assert len(set(found.files.values())) == 2
  (source / 'model-00002-of-00002.safetensors').unlink()
  refused(source, r'model-00002-of-00002.safetensors is missing, which model')


def test_a_damaged_index(source):
  index = reshard(source)
  index.write_text('{"weight_map": {}}')
  refused(source, 'index.json has no weight_map')
  index.write_text('{"weight_map": ')
  refused(source, 'index.json is not JSON')
  index.write_text('[]')
  refused(source, 'index.json holds no JSON object')


def test_a_tensor_in_two_files(source):
  data = (source / 'model.safetensors').read_bytes()
  (source / 'model.safetensors').unlink()
  for name in ('a', 'b'):
    (source / f'{name}.safetensors').write_bytes(data)
  refused(source, r'b.safetensors and .*a.safetensors both hold')


@pytest.mark.parametrize('kept', [-40, 40, 0])
def test_a_truncated_shard(source, kept):
  path = source / 'model.safetensors'
  path.write_bytes(path.read_bytes()[:kept])
  refused(source, r'model.safetensors is truncated or damaged')


def test_no_weights(source):
  (source / 'model.safetensors').rename(source / 'pytorch_model.bin')
  refused(source, 'holds no .safetensors file')


def test_integer_weights(source):
  path = source / 'model.safetensors'
  tensors = safetensors.load_file(path)
  tensors['model.norm.weight'] = np.ones(16, np.int8)
  safetensors.save_file(tensors, path)
  refused(source, "'model.norm.weight' is I8; only")


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'model_type': 'mamba'}, "config.json: model_type='mamba' is not one of"),
    ({'hidden_act': 'relu'}, "config.json: hidden_act='relu' is not supported"),
    ({'hidden_size': None}, r"config.json: \['hidden_size'\] must be there"),
    ({'num_attention_heads': 3}, 'config.json: num_heads=3 does not divide'),
    ({'quantization_config': {'bits': 4}}, 'quantization_config is not'),
    ({'eos_token_id': 99_999}, 'eos_token_id=99999 is outside the 300 rows'),
    ({'eos_token_id': -1}, 'eos_token_id=-1 is outside the 300 rows'),
    ({'vocab_size': 200}, 'tokens up to id 299 and the embedding only 200'),
  ],
)
def test_a_configuration_that_does_not_fit(source, fields, message):
  if fields.get('num_attention_heads'):
    fields = {**fields, 'head_dim': None}
  public_folders.edit(source / 'config.json', **fields)
  refused(source, message)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'model.norm.weight': None}, "'model.norm.weight' is missing"),
    ({'model.norm.weight': np.ones(3)}, r'has shape \(3,\); the configuration'),
    ({'strange': np.ones(3)}, r"no place for tensors \['strange'\]"),
  ],
)
def test_tensors_are_known_not_to_fit_by_their_headers(source, change, message):
  path = source / 'model.safetensors'
  tensors = {**safetensors.load_file(path), **change}
  tensors = {name: x for name, x in tensors.items() if x is not None}
  safetensors.save_file(tensors, path)
  folder = opened(source).folder
  with pytest.raises(ValueError, match=message):
    public_layout.require_fit(folder.family, folder.config, folder.shapes)


def test_an_end_that_is_no_token(tmp_path):
  folder = public_folders.make(tmp_path / 'm', 'qwen2', eos_token_id=305)
  refused(folder, 'eos_token_id=305 is no token of tokenizer.json')


def test_who_says_which_token_ends_a_text(source):
  def said():
    found = opened(source)
    return found.end_of_text, found.said_by

  assert said() == ('</s>', 'config.json')
  public_folders.edit(source / 'config.json', eos_token_id=[1, 2])
  assert said() == ('<s>', 'config.json')
  public_folders.edit(source / 'config.json', eos_token_id=None)
  assert said() == ('</s>', 'its name')
  settings = source / 'tokenizer_config.json'
  settings.write_text(json.dumps({'eos_token': {'content': '<s>'}}))
  assert said() == ('<s>', 'tokenizer_config.json')
  settings = source / 'generation_config.json'
  settings.write_text('{"eos_token_id": 2}')
  assert said() == ('</s>', 'generation_config.json')
  assert opened(source, end_of_text='<s>').end_of_text == '<s>'
  refused(source, 'end_of_text=<x> is no token of', end_of_text='<x>')


def test_nobody_says_which_token_ends_a_text(tmp_path):
  folder = public_folders.make(tmp_path / 'm', 'llama', eos_token_id=None)
  text = (folder / 'tokenizer.json').read_text().replace('</s>', '<stop>')
  (folder / 'tokenizer.json').write_text(text)
  refused(folder, 'name it by --config.end_of_text')


def test_padding_is_a_token_of_no_other_meaning(tmp_path, source):
  assert opened(source).padding == ''
  public_folders.edit(source / 'config.json', pad_token_id=0)
  assert opened(source).padding == ''  # stands for what is unknown
  public_folders.edit(source / 'config.json', pad_token_id=1)
  assert opened(source).padding == '<s>'
  folder = public_folders.make(tmp_path / 'q', 'qwen2')
  (folder / 'tokenizer_config.json').write_text(
    '{"pad_token": "<|endoftext|>"}'
  )
  assert opened(folder).padding == ''  # it ends documents
  folder = public_folders.make(tmp_path / 'p', 'gpt_neox')
  assert opened(folder).padding == '<|padding|>'


def test_tokenizers_that_cannot_be_used(source):
  path = source / 'tokenizer.json'
  words = tokenizers.Tokenizer(tokenizers.models.WordLevel({'</s>': 0}, '</s>'))
  words.save(str(path))
  refused(source, 'its model is WordLevel; only BPE is supported')
  path.write_text('{}')
  refused(source, 'tokenizer.json: it cannot be used')
  path.rename(source / 'tokenizer.model')
  refused(source, r'no tokenizer.json, which is needed \(not tokenizer.model')


def refusal(folder, tmp_path, *args):
  line = scripts.refusal(
    'public',
    f'--config.source={folder}',
    f'--workdir={tmp_path / "w"}',
    *args,
    limit=1.5,
    config='',
  )
  assert not (tmp_path / 'w').exists()
  return line


def test_the_command_says_it_in_one_line(tmp_path, source):
  line = refusal(tmp_path / 'nowhere', tmp_path)
  assert f'--config.source={tmp_path / "nowhere"} is no folder' in line
  assert '--config.source is empty' in refusal('', tmp_path)
  (source / 'config.json').unlink()
  assert f'{source} has no config.json' in refusal(source, tmp_path)
