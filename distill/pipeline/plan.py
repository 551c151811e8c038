from distill.recipe.plan import *  # noqa: F403 (moved; import from distill.recipe.plan)
