"""One frozen dataclass a stage, with the paper's values as defaults.

Marks: `[§x]` a section of Bai et al. 2022, `[A-2nd]` Askell et al. 2021,
`[open]` the paper does not say: our choice.
"""

from __future__ import annotations

import dataclasses

from hh_jax.config import agreement, shared
from hh_jax.config.shared import (
  DataConfig,
  LoopConfig,
  ModelConfig,
  OptimizerConfig,
  SamplingConfig,
  run_of,
)

field = dataclasses.field

UNTUNED = ('pretrain', 'public')  # stages that end in a plain language model
SCORED = ('pm', 'pmp', 'public_pm')  # and in a preference model


def _optimizer(lr_multiple: float, schedule: str, warmup_steps: int = 0):
  return field(
    default_factory=lambda: OptimizerConfig(
      lr_multiple=lr_multiple, schedule=schedule, warmup_steps=warmup_steps
    )
  )


@dataclasses.dataclass(frozen=True)
class PretrainConfig:
  """Language-model pretraining; an example is one packed row of documents."""

  seed: int = 0
  model: ModelConfig = field(default_factory=ModelConfig)
  data: DataConfig = field(default_factory=DataConfig)
  optimizer: OptimizerConfig = _optimizer(1.0, 'cosine', 100)  # [open]
  loop: LoopConfig = field(default_factory=LoopConfig)
  num_steps: int = 1000  # updates of data.batch_size rows
  tokenizer: str = ''  # a tokenizer.json; '': train one on the documents
  tokenizer_documents: int = 4000  # documents it is trained on

  def __post_init__(self):
    agreement.require_runnable(self)
    agreement.require_no_max_path(self.data)
    shared.positive(self, 'num_steps', 'tokenizer_documents')
    agreement.require_positions(self.model, self.data)


@dataclasses.dataclass(frozen=True)
class PublicConfig:
  """A public model's weights and tokenizer, as a run that others start from."""

  source: str = ''  # folder with config.json, *.safetensors, tokenizer.json
  end_of_text: str = ''  # token that ends a reply; '': the folder's eos token
  compute_dtype: str = 'float32'  # of matmul operands in the stages after it
  remat: bool = False  # whether those recompute blocks in backward passes
  vocab_multiple: int = 128  # vocabulary rows are padded up to a multiple, so
  # that meshes divide them

  def __post_init__(self):
    shared.one_of('compute_dtype', self.compute_dtype, shared.DTYPES)
    shared.positive(self, 'vocab_multiple')


@dataclasses.dataclass(frozen=True)
class DistillConfig:
  """Context distillation of the HHH prompt [§A.1]."""

  seed: int = 0
  init_from: str = run_of(*UNTUNED)  # the student
  teacher_from: str = run_of(*UNTUNED, is_optional=True)  # '': as student
  data: DataConfig = field(default_factory=DataConfig)
  optimizer: OptimizerConfig = _optimizer(0.05, 'linear')  # [§A.1]
  loop: LoopConfig = field(default_factory=LoopConfig)
  num_steps: int = 200  # updates of data.batch_size sequences
  top_k: int = 50  # stored log-probs a token, beside one remainder [§A.1]
  text_fraction: float = 0.5  # rest: questions with their best answer [§A.1]
  num_prompt_conversations: int = 0  # of the HHH prompt; 0: all
  effect_prompts: int = 128  # held-out prompts on which the prompt's effect
  # and the student's are measured

  def __post_init__(self):
    agreement.require_runnable(self)
    shared.positive(self, 'num_steps', 'top_k')
    shared.fraction(self, 'text_fraction')


@dataclasses.dataclass(frozen=True)
class PMPConfig:
  """Preference-model pretraining on ranked answers [§A.2; A-2nd]."""

  seed: int = 0
  init_from: str = run_of(*UNTUNED)
  data: DataConfig = field(default_factory=DataConfig)
  optimizer: OptimizerConfig = _optimizer(0.1, 'constant')  # [§A.2]
  loop: LoopConfig = field(default_factory=LoopConfig)
  num_posts: int = 4000  # questions made or read; world=hh: 0 takes all
  pairs_per_post: int = 4  # most ranked pairs taken of one question [open]
  log_votes: bool = True  # rank by their logarithm, not by votes [memory]
  binary: bool = True  # GOOD/BAD pairs instead of ranked ones [A-2nd]
  lm_coef: float = 0.0  # weight of an LM loss, good side [A-2nd: a switch]

  def __post_init__(self):
    agreement.require_runnable(self)
    shared.positive(self, 'pairs_per_post')
    if self.data.world == 'lab':
      shared.positive(self, 'num_posts')
    shared.require(self.lm_coef >= 0, f'lm_coef={self.lm_coef} is < 0')


@dataclasses.dataclass(frozen=True)
class PMConfig:
  """Preference-model finetuning on comparisons, one epoch [§3.1, §A.2]."""

  seed: int = 0
  init_from: str = run_of('pmp', *UNTUNED, 'public_pm')
  data: DataConfig = field(default_factory=DataConfig)
  optimizer: OptimizerConfig = _optimizer(0.01, 'constant')  # [§3.1]
  loop: LoopConfig = field(default_factory=LoopConfig)
  harmless_weight: float = 1.0  # λ on harmless comparisons [§5.1.2]
  harmless_fraction: float = -1.0  # of the comparisons; -1: as they come
  num_comparisons: int = 0  # total at a given fraction; 0: all that fit
  lm_coef: float = 0.0  # weight of an LM loss on the good side [open]
  eval_comparisons: int = 2000  # most test comparisons scored at the end
  # Times within the epoch at which they are scored, too, evenly in ln of the
  # comparisons seen; the last is the end. 0: at the end alone.
  curve_points: int = 0

  def __post_init__(self):
    agreement.require_runnable(self)
    shared.positive(self, 'harmless_weight')
    shared.require(self.lm_coef >= 0, f'lm_coef={self.lm_coef} is < 0')
    shared.require(
      self.harmless_fraction == -1 or 0 <= self.harmless_fraction <= 1,
      f'harmless_fraction={self.harmless_fraction} is neither -1 nor '
      'within [0, 1]',
    )


@dataclasses.dataclass(frozen=True)
class RejectionConfig:
  """Best of k samples by the preference model [§2.3, §B.6]."""

  seed: int = 0
  policy_from: str = run_of(*UNTUNED, 'distill', 'rlhf')
  pm_from: str = run_of(*SCORED)
  data: DataConfig = field(default_factory=DataConfig)
  sampling: SamplingConfig = field(default_factory=SamplingConfig)
  loop: LoopConfig = field(default_factory=LoopConfig)
  k: int = 16  # mostly 16 [§2.3]
  num_prompts: int = 256
  harmless_fraction: float = 0.5  # of the prompts [open]

  def __post_init__(self):
    agreement.require_one_device(self.loop)
    agreement.require_runnable(self)
    agreement.require_prompts(self)
    shared.positive(self, 'k', 'num_prompts')
    shared.fraction(self, 'harmless_fraction')


@dataclasses.dataclass(frozen=True)
class PromptsConfig:
  """Prompts that a language model writes; an example is a sample [§4.1]."""

  seed: int = 0
  init_from: str = run_of(*UNTUNED)  # who writes; a large model in the paper
  data: DataConfig = field(default_factory=DataConfig)
  sampling: SamplingConfig = field(default_factory=SamplingConfig)
  loop: LoopConfig = field(default_factory=LoopConfig)
  num_prompts: int = 4000  # to be kept; the paper has 369k
  harmless_fraction: float = 0.5  # of them [open]
  shots: int = 10  # human queries in a context, about 10 [§4.1]
  num_queries: int = 2000  # of either side that those are drawn from [open]
  prompts_per_context: int = 16  # sampled after the same queries [open]
  near_duplicate: float = 0.8  # share of a prompt's words in a row that
  # another one has, from which it is left out [open]
  tries: int = 8  # most samples for one that is asked for [open]

  def __post_init__(self):
    agreement.require_one_device(self.loop)
    agreement.require_runnable(self)
    agreement.require_prompts(self)
    shared.positive(
      self,
      'num_prompts',
      'shots',
      'num_queries',
      'prompts_per_context',
      'near_duplicate',
      'tries',
    )
    shared.fraction(self, 'harmless_fraction', 'near_duplicate')
    shared.require(
      self.data.batch_size % self.prompts_per_context == 0,
      f'prompts_per_context={self.prompts_per_context} does not divide '
      f'batch_size={self.data.batch_size}, the samples of a round',
    )


@dataclasses.dataclass(frozen=True)
class RLHFConfig:
  """PPO against a preference model [§4.1, §B.1]; an example is a prompt."""

  seed: int = 0
  policy_from: str = run_of('distill', *UNTUNED, 'rlhf')  # π0, reference
  pm_from: str = run_of(*SCORED)  # rewards
  # Trained on other comparisons; '': none is asked.
  held_out_pm_from: str = run_of(*SCORED, is_optional=True)
  data: DataConfig = field(default_factory=DataConfig)
  sampling: SamplingConfig = field(default_factory=SamplingConfig)
  optimizer: OptimizerConfig = _optimizer(0.01, 'constant')  # [§4.1]
  lr_halving: int = 0  # samples between halvings of the rate; 0: none. 100,000
  # in online training [§B.1]
  loop: LoopConfig = field(default_factory=LoopConfig)
  num_iterations: int = 100  # rollouts of data.batch_size prompts [open]
  passes: int = 1  # K, passes over each rollout [§4.1]
  minibatches: int = 4  # updates a pass [open]
  harmless_fraction: float = 0.5  # of the prompts [open]
  num_prompts: int = 4000  # size of the prompt pool, drawn in epochs [open]
  prompts_from: str = run_of('prompts', is_optional=True)  # generated ones
  generated_fraction: float = 0.0  # of the pool; 369k of 506k there [§4.1]
  kl_coef: float = 0.001  # λ_KL [§4.1]
  clip_range: float = 0.2  # ε [§4.1]
  discount: float = 1.0  # γ [§4.1]
  gae_lambda: float = 0.95  # λ of the advantage estimate [open]
  value_coef: float = 0.5  # weight of the value loss [open]
  value_clip: float = 0.2  # 0: unclipped [open]
  value_lr_multiple: float = 1.0  # of the policy's rate [open]
  value_init: str = 'pm'  # 'pm' or 'policy' [open]
  share_trunk: bool = False  # value head on the policy's trunk [open]
  whiten_advantages: bool = True  # over the whole rollout [open]
  whiten_rewards: bool = False  # likewise, their mean kept; raw [§4.1]
  center_scores: bool = True  # subtract the mean of π0's scores [§B.2]
  center_prompts: int = 256  # held-out prompts of that mean [open]
  missing_eot_score: str = 'pm'  # 'pm': scored as it is; 'fixed' [open]
  missing_eot_value: float = -1.0  # replaces the centred score if 'fixed'
  recompute_log_probs: bool = False  # by the trainer instead of the sampler;
  # always where the networks compute in bfloat16
  eval_every: int = 10  # iterations between points of reward against √KL
  eval_first: int = 0  # iterations at the start with a point after each: √KL
  # grows fastest there, and a straight line needs points
  eval_prompts: int = 512  # held-out prompts of each point
  show_every: int = 50  # iterations between texts kept for the report
  show_prompts: int = 20  # held-out prompts that those answer

  def __post_init__(self):
    agreement.require_runnable(self)
    agreement.require_prompts(self)
    shared.positive(
      self,
      'num_iterations',
      'passes',
      'minibatches',
      'num_prompts',
      'center_prompts',
      'clip_range',
      'eval_every',
      'eval_prompts',
      'show_every',
      'show_prompts',
      'value_lr_multiple',
    )
    shared.require(
      (self.generated_fraction > 0) == bool(self.prompts_from),
      f'generated_fraction={self.generated_fraction} and '
      f'prompts_from={self.prompts_from!r}: a share of generated prompts and '
      'the prompts run that they are from go together; set both or none',
    )
    shared.one_of('value_init', self.value_init, ('pm', 'policy'))
    shared.require(
      self.sampling.top_p == 1,
      f'sampling.top_p={self.sampling.top_p}: PPO trains on samples of the '
      'whole distribution; set it to 1 [fn 12]',
    )
    shared.one_of('missing_eot_score', self.missing_eot_score, ('pm', 'fixed'))
    shared.fraction(self, 'discount', 'gae_lambda', 'generated_fraction')
    for name in ('kl_coef', 'value_coef', 'value_clip'):
      value = getattr(self, name)
      shared.require(value >= 0, f'{name}={value} is < 0')
    shared.require(
      self.lr_halving == 0 or self.lr_halving >= self.data.batch_size,
      f'lr_halving={self.lr_halving} is less than the samples of an '
      f'iteration, batch_size={self.data.batch_size}',
    )
    shared.require(
      self.data.batch_size % self.minibatches == 0,
      f'minibatches={self.minibatches} does not divide '
      f'batch_size={self.data.batch_size}',
    )
    shared.fraction(self, 'harmless_fraction')


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
  """What the finished models are asked."""

  seed: int = 0
  data: DataConfig = field(default_factory=DataConfig)
  sampling: SamplingConfig = field(default_factory=SamplingConfig)
  loop: LoopConfig = field(default_factory=LoopConfig)
  pm_from: str = run_of(*SCORED)  # trained on the mixture
  # Judges where no gold judge is known; '': the mixture's does.
  held_out_pm_from: str = run_of(*SCORED, is_optional=True)
  helpful_pm_from: str = run_of(*SCORED, is_optional=True)  # one side's
  harmless_pm_from: str = run_of(*SCORED, is_optional=True)  # one side's
  reference_from: str = run_of('distill', *UNTUNED)  # π0
  rlhf_from: str = run_of('rlhf')  # the trained policy
  num_comparisons: int = 2000  # most test comparisons scored
  num_prompts: int = 512  # held-out prompts, half of them harmless [open]
  k: int = 16  # best of k
  games_per_prompt: int = 2  # crowd comparisons of each pair [open]
  num_bootstrap: int = 1000  # resamples of the Elo intervals
  num_dialogues: int = 10  # shown before and after in the report

  def __post_init__(self):
    agreement.require_one_device(self.loop)
    agreement.require_runnable(self)
    agreement.require_room(self.data, self.sampling)
    agreement.require_held_out(self.data)
    shared.positive(
      self,
      'num_comparisons',
      'num_prompts',
      'k',
      'games_per_prompt',
      'num_bootstrap',
    )
