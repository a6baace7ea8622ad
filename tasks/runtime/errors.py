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


def is_lost_server(error: BaseException | None) -> bool:
    """Return whether an error comes from a Prefect server that has stopped answering.

    Prefect tries a request several times, for about a minute, and then raises the error of its HTTP
    client.
    """
    import httpx

    while error is not None:
        if isinstance(error, httpx.TransportError) or "Failed to reach API at" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
