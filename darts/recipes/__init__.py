"""Named configurations: each a method by its published protocol on a data set."""

from darts.recipes.recipe import recipe
from darts.recipes.registry import BLACKBOX_RECIPES, FINAL_RECIPES, SEARCH_RECIPES, final_for

__all__ = ["BLACKBOX_RECIPES", "FINAL_RECIPES", "SEARCH_RECIPES", "final_for", "recipe"]
