"""The strategies of search without gradients, one file each."""

from darts.blackbox.strategies.bananas import Bananas
from darts.blackbox.strategies.enas import ENAS
from darts.blackbox.strategies.evolution import RegularizedEvolution
from darts.blackbox.strategies.exhaustive import Exhaustive
from darts.blackbox.strategies.genetic import GeneticAlgorithm
from darts.blackbox.strategies.local_search import LocalSearch
from darts.blackbox.strategies.nsga2 import NSGA2
from darts.blackbox.strategies.pareto_local_search import ParetoLocalSearch
from darts.blackbox.strategies.random_search import RandomSearch, SharedRandomSearch
from darts.blackbox.strategies.reinforce import Reinforce
from darts.blackbox.strategies.strategy import Strategy
from darts.blackbox.strategies.surrogate_descent import SurrogateDescent

STRATEGIES: dict[str, Strategy] = {
    "random": RandomSearch(),
    "exhaustive": Exhaustive(),
    "local_search": LocalSearch(),
    "evolution": RegularizedEvolution(),
    "genetic": GeneticAlgorithm(),
    "reinforce": Reinforce(),
    "nsga2": NSGA2(),
    "pareto_local_search": ParetoLocalSearch(),
    "enas": ENAS(),
    "rsps": SharedRandomSearch(),
    "bananas": Bananas(),
    "surrogate_descent": SurrogateDescent(),
}
"""Name -> a strategy with its default options."""
