"""Small architectures and how they are initialised.

Importing this package makes the ``Auto*`` classes of ``transformers`` know pruned models and static
ones.
"""

from distill.recipe.sizes import Size, resolve_size
from students import pruned as pruned
from students import static as static
from students.build import build_student

__all__ = ["Size", "build_student", "resolve_size"]
