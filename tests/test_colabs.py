import ast
import os
import pathlib

import nbclient
import nbformat
import pytest

ROOT = pathlib.Path(__file__).parents[1]
COLABS = sorted((ROOT / 'colabs').glob('*.ipynb'))
MAX_SECONDS = 420  # of one cell; far more than it needs on idle cores


def read(path):
  notebook = nbformat.read(path, as_version=4)
  nbformat.validate(notebook)
  return notebook


def test_there_is_a_colab():
  assert [path.name for path in COLABS] == ['01_pipeline.ipynb']


@pytest.mark.parametrize('path', COLABS, ids=lambda path: path.stem)
def test_colab_is_stored_without_outputs(path):
  notebook = read(path)
  for cell in notebook.cells:
    if cell.cell_type == 'code':
      assert cell.execution_count is None, cell.source
      assert not cell.outputs, cell.source
  assert set(notebook.metadata) == {'kernelspec'}


@pytest.mark.parametrize('path', COLABS, ids=lambda path: path.stem)
def test_colab_holds_no_library_code(path):
  num_code = 0
  for cell in read(path).cells:
    if cell.cell_type != 'code':
      continue
    num_code += 1
    for node in ast.walk(ast.parse(cell.source)):
      assert not isinstance(node, ast.ClassDef), node.name
      if isinstance(node, ast.FunctionDef):
        assert node.end_lineno - node.lineno < 8, node.name
  assert num_code > 10


@pytest.mark.slow
@pytest.mark.parametrize('path', COLABS, ids=lambda path: path.stem)
def test_colab_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
  monkeypatch.setenv('TMPDIR', str(tmp_path))
  monkeypatch.setenv('JAX_PLATFORMS', os.environ.get('JAX_PLATFORMS', 'cpu'))
  notebook = read(path)
  nbclient.NotebookClient(
    notebook,
    timeout=MAX_SECONDS,
    kernel_name='python3',
    resources={'metadata': {'path': str(path.parent)}},
  ).execute()
  printed = ''.join(
    output.get('text', '')
    for cell in notebook.cells
    for output in cell.get('outputs', ())
  )
  for stage in ('pretrain', 'distill', 'pmp', 'pm', 'rejection', 'rlhf'):
    assert f'\n{stage}: ' in f'\n{printed}', printed
  (page,) = tmp_path.glob('hh_jax_*/report.html')
  assert page.stat().st_size > 10_000
