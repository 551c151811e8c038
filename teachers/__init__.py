"""Teachers: loading, freezing and their cached outputs."""
