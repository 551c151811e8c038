"""Small architectures and how they are initialised."""
