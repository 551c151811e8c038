"""Files, console, errors, processor and processes: what every room stands on."""
