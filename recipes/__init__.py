"""Recipes: YAML that travels with the package."""
