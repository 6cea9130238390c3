"""The TFDS builder, built from made-up files without TensorFlow."""

import pathlib
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds

from hh_jax.data import comparisons as comparisons_lib
from hh_jax.data import tranches
from hh_jax.data.hh_rlhf import hh_rlhf_dataset_builder as builder_lib
from tests.data import samples

FOLDER = pathlib.Path(builder_lib.__file__).parent
DUMMY = FOLDER / 'dummy_data'
COMPARISONS = [
  config
  for config in builder_lib.Builder.BUILDER_CONFIGS
  if config.name != 'red_team_attempts'
]


@pytest.fixture
def build(tmp_path, monkeypatch):
  asked = []

  def download(self, urls):
    asked.extend(urls.values())
    start = 'https://huggingface.co/datasets/Anthropic/hh-rlhf/resolve/main/'
    return {
      split: DUMMY / url.removeprefix(start) for split, url in urls.items()
    }

  monkeypatch.setattr(tfds.download.DownloadManager, 'download', download)

  def make(config):
    builder = builder_lib.Builder(
      config=config, data_dir=tmp_path, file_format='array_record'
    )
    builder.download_and_prepare()
    return builder, asked

  return make


@pytest.mark.parametrize('config', COMPARISONS, ids=lambda c: c.name)
def test_comparisons_come_back(build, config):
  builder, asked = build(config.name)
  assert [url.split('/')[-2] for url in asked] == [config.folder] * 2
  assert config.folder in tranches.TRANCHES
  for split in ('train', 'test'):
    source = builder.as_data_source(split=split)
    found = comparisons_lib.read_comparisons(
      DUMMY / config.folder / f'{split}.jsonl.gz'
    )
    assert len(source) == found.num_read
    chosen = {row['chosen'] for row in source}
    assert all(isinstance(text, bytes) for text in chosen)
    replies = {text.decode().rsplit('Assistant: ')[-1] for text in chosen}
    assert replies == {pair.chosen for pair in found.comparisons}


def test_red_team_attempts(build):
  builder, _ = build('red_team_attempts')
  rows = sorted(
    builder.as_data_source(split='train'),
    key=lambda row: row['red_team_member_id'],
  )
  assert rows[0]['tags'] == [b'animals']
  assert rows[0]['task_description_harmlessness_score'] == 1.25
  missing = rows[1]['task_description_harmlessness_score']
  assert missing != missing
  assert (rows[1]['num_params'], len(rows[1]['tags'])) == (b'52B', 0)


def test_checksums_are_of_files_the_builder_asks_for():
  names = set()
  for line in (FOLDER / 'checksums.tsv').read_text().splitlines():
    url, size, digest, _ = line.split('\t')
    assert int(size) > 500_000
    assert len(digest) == 64 and int(digest, 16)
    names.add('/'.join(url.split('/')[-2:]))
  asked = {
    f'{config.folder}/{split}.jsonl.gz'
    for config in COMPARISONS
    for split in config.splits
  }
  assert names == asked - {'harmless-base/train.jsonl.gz'}


def test_checksum_of_the_real_file(real_data):
  found = samples.official(real_data)
  (digest,) = found.sources.values()
  assert digest in (FOLDER / 'checksums.tsv').read_text()


def test_the_data_package_imports_neither_tfds_nor_jax():
  code = (
    'import sys, hh_jax.data.comparisons, hh_jax.data.tokenizer, '
    'hh_jax.data.trees, hh_jax.data.prepare, hh_jax.data.corpora, '
    'hh_jax.data.order, hh_jax.data.prompts\n'
    'print([m for m in ("jax", "flax", "tensorflow", "tensorflow_datasets")'
    ' if m in sys.modules])'
  )
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert done.stdout.strip() == '[]'
