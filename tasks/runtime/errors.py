"""The exception for users, and the removal of secrets from texts."""

import re


class PipelineError(Exception):
    """Error outside the code: a file, an option, a network, a disk.

    The message is one line that names the file, option or stage, says what is
    wrong and what to do. The command line prints it without a traceback;
    every other exception is a bug and keeps its traceback.
    """


def without_secrets(text: str) -> str:
    """Return a text without user names, passwords and queries in its web addresses.

    The time is linear in the length of the text, which may come from a server.
    """
    text = re.sub(r"(\w://)[^/\s]*@", r"\1***@", text)
    return re.sub(r"[^\s'\"]+", without_query, text)


def without_query(word: re.Match[str]) -> str:
    """Return a word of a text; if it is a web address, without query and fragment."""
    address = re.search(r"\w://", word[0])
    query = re.compile(r"[?#]").search(word[0], address.end()) if address else None
    if query is None:
        return word[0]
    punctuation = len(word[0]) - len(word[0].rstrip(".,;:)"))
    end = word[0][len(word[0]) - punctuation :]
    return f"{word[0][: query.start()]}?***{end}"


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
