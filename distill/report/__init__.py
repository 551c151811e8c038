"""Console table, HTML report and model card from one set of numbers."""
