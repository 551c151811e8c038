"""Where rows come from: files, the hub, and what is made from installed packages."""
