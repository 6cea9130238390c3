"""Package metadata of hh_jax; tool settings are in pyproject.toml."""

import pathlib

import setuptools

ROOT = pathlib.Path(__file__).parent

CORE = [
  'absl-py>=2.1',
  'array-record==0.8.6',
  'etils[epath,epy]>=1.12',
  'flax==0.12.8',
  'grain==0.2.18',
  'importlib_resources>=6',
  'jax==0.10.2',
  'jaxtyping>=0.3.2',
  'ml-collections==1.1.0',
  'numpy>=2.0',
  'optax==0.2.8',
  'orbax-checkpoint==0.12.8',
  'rich>=13',
  'safetensors>=0.8,<0.9',
  'scipy>=1.14',
  'tensorboardX>=2.6,<2.7',
  'tensorflow-datasets==4.9.10',
  'tokenizers>=0.23,<0.24',
  'tqdm>=4.66',
]

EXTRAS = {
  # Statistics and pictures of a finished run.
  'eval': [
    'evalica>=0.4,<0.5',
    'jinja2>=3.1',
    'matplotlib>=3.9',
    'pandas>=2.2',
    'scikit-learn>=1.5',
  ],
  # The public language-model evaluation harness; large, so on its own.
  'harness': ['lm-eval==0.4.13'],
  # The web interface where people compare replies.
  'feedback': [
    'SQLAlchemy>=2.0',
    'alembic>=1.13',
    'httpx>=0.27',
    'itsdangerous>=2.2',
    'jinja2>=3.1',
    'psycopg[binary]>=3.2',
    'starlette>=0.40',
    'uvicorn>=0.30',
  ],
  # Public weights and tokenizers of the Hugging Face hub.
  'hf': ['huggingface_hub>=0.30', 'transformers>=4.50'],
  # Sweeps on clusters: Slurm, Kubernetes.
  'launch': ['PyYAML>=6', 'submitit>=1.5'],
  # Preparing the TFDS data set with Beam; reading it needs none of this.
  'tfds': ['apache-beam>=2.60', 'tensorflow-cpu>=2.18'],
  # Compiling for TPU topologies on a machine without one. It is no part of
  # `make setup`: 'pip install -e .[plan]' beside it.
  'plan': ['libtpu==0.0.42.1'],
  'dev': [
    'axe-playwright-python>=0.1.4',
    'beartype>=0.20',
    'hypothesis>=6.100',
    'import-linter>=2.1',
    'jupytext>=1.16',
    'mypy==2.4.1',
    'nbmake>=1.5',
    'nbstripout>=0.7',
    'playwright>=1.45',
    'pytest>=8',
    'pytest-xdist>=3.6',
    'ruff==0.17.6',
    'uv>=0.9',
  ],
}

setuptools.setup(
  name='hh_jax',
  version='0.1.0',
  description=(
    'Training a helpful and harmless assistant with RLHF in JAX: '
    'Bai et al. 2022, from comparisons to every figure.'
  ),
  long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
  long_description_content_type='text/markdown',
  license='Apache-2.0',
  license_files=['LICENSE'],
  python_requires='>=3.11',
  packages=setuptools.find_packages(include=['hh_jax', 'hh_jax.*']),
  package_data={
    'hh_jax': ['py.typed'],
    'hh_jax.feedback': ['static/*', 'templates/**/*.html'],
    'hh_jax.report': ['templates/*'],
    'hh_jax.data': ['hh_rlhf/checksums.tsv', 'hh_rlhf/dummy_data/**/*'],
  },
  install_requires=CORE,
  extras_require=EXTRAS,
  classifiers=[
    'Intended Audience :: Science/Research',
    'Programming Language :: Python :: 3',
    'Topic :: Scientific/Engineering :: Artificial Intelligence',
  ],
)
