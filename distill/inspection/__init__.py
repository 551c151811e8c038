"""How a teacher and its student read one text: predictions, attributions, attention."""
