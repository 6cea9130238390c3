"""TensorFlow Datasets builder of the released HH files, TensorFlow-free.

  builder = hh_rlhf_dataset_builder.Builder(
      config='harmless_base', file_format='array_record')
  builder.download_and_prepare()
  builder.as_data_source(split='train')[0]['chosen']  # bytes

One configuration a tranche of comparisons, and the red-team transcripts of
the companion paper, which are not for training preference models. Without
TensorFlow only `array_record` files and `as_data_source` work, and text comes
back as bytes.

`checksums.tsv` holds the SHA-256 and size of the six helpful files that the
git-lfs pointers of the GitHub release name (anthropics/hh-rlhf, f956116), and
those of a copy of the harmless_base test file. That the download host serves
the same bytes has not been tried. Those of harmless_base train and of
red_team_attempts are not known here; these two are downloaded unchecked. The
fields of red_team_attempts are from its documentation.

The data may be upsetting; its README says that it is not for supervised
training of dialogue agents.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import math
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow_datasets.public_api as tfds

from hh_jax.data import jsonl

_URL = 'https://huggingface.co/datasets/Anthropic/hh-rlhf/resolve/main'
_HOMEPAGE = 'https://huggingface.co/datasets/Anthropic/hh-rlhf'
_RED_TEAM = 'red_team_attempts'

_CITATION = """@article{bai2022training,
  title={Training a Helpful and Harmless Assistant with Reinforcement Learning
         from Human Feedback},
  author={Bai, Yuntao and others},
  journal={arXiv preprint arXiv:2204.05862},
  year={2022}
}"""

_TEXTS = ('transcript', 'model_type', 'num_params', 'task_description')
_NUMBERS = (
  'min_harmlessness_score_transcript',
  'task_description_harmlessness_score',
  'rating',
)


@dataclasses.dataclass
class HHConfig(tfds.core.BuilderConfig):
  """One folder of the release."""

  folder: str = ''
  splits: tuple[str, ...] = ('train', 'test')


def _file_of(config: HHConfig, split: str) -> str:
  if config.name == _RED_TEAM:
    return f'{config.folder}/{_RED_TEAM}.jsonl.gz'
  return f'{config.folder}/{split}.jsonl.gz'


class Builder(tfds.core.GeneratorBasedBuilder):
  """Comparisons of assistant replies by crowdworkers."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'The files as released.'}
  BUILDER_CONFIGS = [
    HHConfig(
      name='harmless_base',
      description='Red-team comparisons, context-distilled models.',
      folder='harmless-base',
    ),
    HHConfig(
      name='helpful_base',
      description='Helpful comparisons, context-distilled models.',
      folder='helpful-base',
    ),
    HHConfig(
      name='helpful_online',
      description='Helpful comparisons, online RLHF models.',
      folder='helpful-online',
    ),
    HHConfig(
      name='helpful_rejection_sampled',
      description='Helpful comparisons, best of k by a preference model.',
      folder='helpful-rejection-sampled',
    ),
    HHConfig(
      name=_RED_TEAM,
      description='Red-team transcripts; not for preference models.',
      folder='red-team-attempts',
      splits=('train',),
    ),
  ]

  def _info(self) -> tfds.core.DatasetInfo:
    text = tfds.features.Text
    if self.builder_config.name == _RED_TEAM:
      features = {name: text() for name in _TEXTS}
      features |= {name: tfds.features.Scalar(np.float64) for name in _NUMBERS}
      features['red_team_member_id'] = tfds.features.Scalar(np.int64)
      features['is_upworker'] = tfds.features.Scalar(np.bool_)
      features['tags'] = tfds.features.Sequence(text())
    else:
      features = {'chosen': text(), 'rejected': text()}
    return tfds.core.DatasetInfo(
      builder=self,
      description=self.builder_config.description,
      features=tfds.features.FeaturesDict(features),
      homepage=_HOMEPAGE,
      citation=_CITATION,
      license='MIT',
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager):
    config = self.builder_config
    urls = {
      split: f'{_URL}/{_file_of(config, split)}' for split in config.splits
    }
    paths = dl_manager.download(urls)
    return {
      split: self._generate_examples(pathlib.Path(path))
      for split, path in paths.items()
    }

  def _generate_examples(
    self, path: pathlib.Path
  ) -> Iterator[tuple[int, dict[str, object]]]:
    if self.builder_config.name == _RED_TEAM:
      for number, row in _red_team_rows(path):
        yield number, _red_team_example(row)
      return
    for number, row in jsonl.read_rows(path):
      yield (
        number,
        {
          name: jsonl.text_field(path, number, row, name)
          for name in ('chosen', 'rejected')
        },
      )


def _red_team_rows(path: pathlib.Path) -> Iterator[tuple[int, dict]]:
  """Rows of the file, which is one JSON list in some copies."""
  with gzip.open(path, 'rb') as stream:
    is_list = stream.read(1) == b'['
  if not is_list:
    yield from jsonl.read_rows(path)
    return
  with gzip.open(path, 'rt', encoding='utf-8') as stream:
    yield from enumerate(json.load(stream), start=1)


def _red_team_example(row: Mapping[str, object]) -> dict[str, object]:
  """One row with missing texts empty and missing numbers not a number."""
  example: dict[str, object] = {
    name: '' if row.get(name) is None else str(row[name]) for name in _TEXTS
  }
  for name in _NUMBERS:
    value = row.get(name)
    example[name] = float(value) if isinstance(value, int | float) else math.nan
  member = row.get('red_team_member_id')
  example['red_team_member_id'] = member if isinstance(member, int) else -1
  example['is_upworker'] = bool(row.get('is_upworker', False))
  tags = row.get('tags')
  example['tags'] = list(map(str, tags)) if isinstance(tags, list) else []
  return example
