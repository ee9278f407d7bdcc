"""Prompt pairs: built-in tasks by name, and a reader of the user's own pairs file."""

from relp_sae.tasks.loading import LoadedTask, load_task
from relp_sae.tasks.pairs_file import BadLine, PairsFile, read_pairs
from relp_sae.tasks.task import Task, tasks

__all__ = ["BadLine", "LoadedTask", "PairsFile", "Task", "load_task", "read_pairs", "tasks"]
