"""Prompt pairs: built-in tasks by name, and (in ``loading``) a reader of the user's own pairs file.

A prompt is the begin-of-sequence token, where the tokenizer has one, and then the ids of its text.
"""

from relp_sae.tasks.task import Task, tasks

__all__ = ["Task", "tasks"]
