"""Modules that need a library which is not installed here are not collected, neither they nor their tests."""

from importlib.util import find_spec

NEEDED = {
    "src/talkoot/learners/deep/*": ("torch",),
    "src/talkoot/engines/ranks/*": ("torch",),
    "src/talkoot/engines/ray/*": ("ray", "torch"),
    "src/talkoot/engines/federation/*": ("grpc", "cryptography"),
    "src/talkoot/cli/parties/*": ("grpc", "cryptography"),
    "src/talkoot/recipes.py": ("torch",),
    "tests/learners/deep/*": ("torch",),
    "tests/engines/ranks/*": ("torch",),
    "tests/engines/federation/*": ("grpc", "cryptography"),
    "tests/data/test_samples.py": ("torch",),
    "tests/data/test_tokens.py": ("torch",),
    "tests/faults/test_ranks.py": ("torch",),
    "tests/watch/test_training.py": ("torch",),
    "tests/test_recipes.py": ("torch",),
}

collect_ignore_glob = [where for where, libraries in NEEDED.items() if not all(map(find_spec, libraries))]
