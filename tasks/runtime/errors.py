"""The exception for users, and the removal of secrets from texts."""

import re


class PipelineError(Exception):
    """Error outside the code: a file, an option, a network, a disk.

    The message is one line that names the file, option or stage, says what is
    wrong and what to do. The command line prints it without a traceback;
    every other exception is a bug and keeps its traceback.
    """


def without_secrets(text: str) -> str:
    """Return a text without user names, passwords and queries in its web addresses."""
    text = re.sub(r"(\w://)[^/\s@]*@", r"\1***@", text)
    return re.sub(r"(\w://[^\s?#'\"]*)[?#][^\s'\"]*?(?=[.,;:)]*(?:[\s'\"]|$))", r"\1?***", text)
