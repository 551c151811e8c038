"""Layer maps, signal capture and projections."""
