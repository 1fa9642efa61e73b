"""The configuration of searches and retrainings: frozen dataclasses, written beside every run.

Every field is an option of the command line: ``WeightsConfig.lr`` of a search's ``weights`` is ``--weights.lr``. Its
range, and whether a run may be resumed with another value, stand beside it; ``check`` and ``identity`` read them there.
"""

from darts.config.blackbox import BlackboxConfig, BudgetConfig, LookupConfig
from darts.config.canvas import CanvasConfig
from darts.config.checks import Config, check
from darts.config.data import CanvasDataConfig, DataConfig, DataName
from darts.config.language import DropoutConfig, LanguageConfig
from darts.config.method import MethodConfig
from darts.config.optimizers import LogitsConfig, WeightsConfig
from darts.config.records import flat, identity, to_dict
from darts.config.retrain import LanguageRetrainConfig, RetrainConfig
from darts.config.run import RunConfig
from darts.config.search import BenchmarkConfig, DeploymentConfig, LanguageSearchConfig, SearchConfig
from darts.config.space import SearchSpaceConfig, SpaceConfig

__all__ = [
    "BenchmarkConfig",
    "BlackboxConfig",
    "BudgetConfig",
    "CanvasConfig",
    "CanvasDataConfig",
    "Config",
    "DataConfig",
    "DataName",
    "DeploymentConfig",
    "DropoutConfig",
    "LanguageConfig",
    "LanguageRetrainConfig",
    "LanguageSearchConfig",
    "LogitsConfig",
    "LookupConfig",
    "MethodConfig",
    "RetrainConfig",
    "RunConfig",
    "SearchConfig",
    "SearchSpaceConfig",
    "SpaceConfig",
    "WeightsConfig",
    "check",
    "flat",
    "identity",
    "to_dict",
]
