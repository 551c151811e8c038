"""Small architectures and how they are initialised.

Importing this package makes the ``Auto*`` classes of ``transformers`` know pruned BERTs.
"""

from students import pruned_bert as pruned_bert
