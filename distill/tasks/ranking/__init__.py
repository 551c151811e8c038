"""The order of a query's candidates: a cross-encoder with one logit for each pair."""
